"""Writes times, scores and overrides in few characters, for people who watch a study."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from seglab.sweep.watch.tally import RunningTrial, finite

_REAL = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=e))(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)


def span(seconds: float | None) -> str:
    """Return a time for people: `0:07`, `12:30`, `3:05:00`, `2d 3:05:00`."""
    whole = finite(seconds)
    if whole is None:
        return "?"
    minutes, second = divmod(round(max(0.0, whole)), 60)
    hours, minute = divmod(minutes, 60)
    if not hours:
        return f"{minute}:{second:02d}"
    days, hour = divmod(hours, 24)
    return f"{f'{days}d ' if days else ''}{hour}:{minute:02d}:{second:02d}"


def score(value: Any) -> str:
    """Return a score in a few digits; what is no number is shown as it is."""
    if value is None:
        return "-"
    number = finite(value)
    if number is None:
        return str(value)
    return f"{number:.4f}" if number == 0 or 1e-3 <= abs(number) < 1e5 else f"{number:.3e}"


def short_words(words: Sequence[str]) -> str:
    """Return overrides in little space: the ends of their keys, few digits of numbers."""
    pairs = [word.lstrip("+").partition("=") for word in words]
    keys = [key.lstrip("~") for key, _, _ in pairs]
    return " ".join(
        f"{'~' * word.startswith('~')}{_short_key(key, keys)}{sign}{_short_value(value)}"
        for word, key, (_, sign, value) in zip(words, keys, pairs, strict=True)
    )


def _short_key(key: str, keys: Sequence[str]) -> str:
    """Return the least end of a dotted key that no other key has."""
    parts = key.split(".")
    for count in range(1, len(parts)):
        end = ".".join(parts[-count:])
        if sum(other == end or other.endswith(f".{end}") for other in keys) == 1:
            return end
    return key


def _short_value(text: str) -> str:
    if _REAL.fullmatch(text):
        return f"{float(text):.3g}"
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def spent(trial: RunningTrial | None, now: float, preposition: str = "in") -> str:
    """Return how long a trial took and where; nothing of one that nobody saw start."""
    if trial is None:
        return ""
    return f" {preposition} {span(now - trial.started)} on {trial.worker}"


def place(trial: RunningTrial | None) -> str:
    """Return how far a trial came and how good it was there."""
    if trial is None:
        return ""
    where = f" at {'fold' if trial.is_folds else 'epoch'} {trial.where}" if trial.where else ""
    return f"{where} with {trial.metric or 'score'} {score(trial.value)}"


def many(count: int, name: str) -> str:
    """Return a number of things."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
