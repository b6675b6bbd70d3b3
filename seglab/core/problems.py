"""One mistake in a configuration, and the words for it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

_MAX_NAMES = 16
_MAX_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """A mistake at one key.

    Attributes:
        key: Full dotted key, such as `optimizer.lr`.
        text: What was expected, what came, what to do.
        kind: `unknown` (no such key), `missing` (no value), `value` (a wrong one), `text` (a wrong
            one, where what was typed may be right), `disk` (a path to nothing) or `rule` (values
            that do not go together).
    """

    key: str
    text: str
    kind: str = "value"

    def __str__(self) -> str:
        """Return the line the user reads."""
        return f"{self.key}: {self.text}"


def show(value: Any) -> str:
    """Return a value as the user would write it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        text = "[" + ", ".join(show(item) for item in value) + "]"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
    else:
        text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def show_names(names: Iterable[Any]) -> str:
    """Return names separated by commas; past a screenful the rest is counted."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - _MAX_NAMES} more" if len(listed) > _MAX_NAMES else ""
    return ", ".join(listed[:_MAX_NAMES]) + more


def nearest_keys(key: str, known: Collection[str]) -> list[str]:
    """Return up to three known keys the user may have meant, the best first.

    A slip in the last part comes first, then the right name in another node, then any
    likeness of the whole, then a slip in the last part in another node.
    """
    parent, _, leaf = key.rpartition(".")
    siblings = {one.rpartition(".")[2]: one for one in known if one.rpartition(".")[0] == parent}
    close = difflib.get_close_matches(leaf, list(siblings), n=1, cutoff=0.6)
    if close:
        return [siblings[close[0]]]
    elsewhere = sorted(one for one in known if one.rpartition(".")[2] == leaf)
    if elsewhere:
        alike = difflib.get_close_matches(key, elsewhere, n=3, cutoff=0.0)
        return alike or elsewhere[:3]
    elsewhere = [one for one in known if not key.startswith(f"{one}.")]
    leaves = {one.rpartition(".")[2]: one for one in sorted(known, reverse=True)}
    return difflib.get_close_matches(key, elsewhere, n=1, cutoff=0.75) or [
        leaves[one] for one in difflib.get_close_matches(leaf, list(leaves), n=1, cutoff=0.75)
    ]


def did_you_mean(names: Collection[str]) -> str:
    """Return `" (did you mean 'a' or 'b'?)"`, or an empty string without names."""
    if not names:
        return ""
    return " (did you mean " + " or ".join(f"'{name}'" for name in names) + "?)"
