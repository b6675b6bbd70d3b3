"""Errors that seglab raises on purpose.

Every one inherits the builtin a caller would expect to catch, and says what was expected, what came
and what to do. `exit_code` is what the command line ends with: 2 where the user's words or data were
wrong, 1 where the work failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

MAX_LISTED = 20


class SeglabError(Exception):
    """Root of all errors raised on purpose."""

    exit_code = 1


class ConfigError(SeglabError, ValueError):
    """The configuration is wrong; `problems` holds every mistake found, not only the first."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        count = len(self.problems)
        title = "1 configuration problem" if count == 1 else f"{count} configuration problems"
        super().__init__(list_problems(title, self.problems, limit=count))


class PlaceError(SeglabError, OSError):
    """A file or folder cannot be used, or not be made, where it was asked for; `path` names it."""

    exit_code = 2

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path


class DiskFullError(PlaceError):
    """There is no room left for a file."""

    exit_code = 1


class DataError(SeglabError, ValueError):
    """Images, masks, a manifest or a record break their contract."""

    exit_code = 2


class DataNotFoundError(DataError, FileNotFoundError):
    """A data set, image, mask or manifest is not where it was said to be."""


class LabelError(DataError):
    """A mask holds values outside its label space, or a label space contradicts itself."""


class ShapeError(SeglabError, ValueError):
    """A tensor or array has a shape, dtype or range the function does not take."""


class RunNotFoundError(SeglabError, FileNotFoundError):
    """No run record where one was said to be."""

    exit_code = 2


class CheckpointError(SeglabError, ValueError):
    """A file of weights is damaged, of another kind, or lacks what is needed of it."""

    exit_code = 2


class TrainingError(SeglabError, RuntimeError):
    """Training cannot go on, for example because the loss is not finite."""


def closest(
    name: str, known: Iterable[str], also: Mapping[str, Iterable[str]] | None = None
) -> str | None:
    """Return the known name that is most like `name`, None where none is.

    Case and signs between words do not count, and `+` is as good as `plus`.

    Args:
        name: As typed.
        known: Names.
        also: Other names of a known one; of two that share one the first is taken.

    >>> closest("U-Net++", ["unet", "unetplusplus"])
    'unetplusplus'
    >>> closest("cross_entropy", ["ce", "dice"], {"ce": ["CrossEntropyLoss"]})
    'ce'
    """
    spelt = {_plain(one): one for one in known}
    for one, others in (also or {}).items():
        for other in others:
            spelt.setdefault(_plain(other), one)
    match = difflib.get_close_matches(_plain(name), list(spelt), n=1, cutoff=0.6)
    return spelt[match[0]] if match else None


def _plain(name: str) -> str:
    letters = "".join(one for one in name.casefold().replace("+", "plus") if one.isalnum())
    return letters or name


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the allowed name closest to `name`, or an empty string."""
    match = closest(name, allowed)
    return f" (did you mean '{match}'?)" if match else ""


def list_problems(title: str, problems: Sequence[str], limit: int = MAX_LISTED) -> str:
    """Join problems into one message, one per line; past `limit` the rest is counted, not hidden."""
    lines = [f"{title}:"] + [f"  - {problem}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more")
    return "\n".join(lines)
