"""Counts and lists as one says them."""

from __future__ import annotations

from collections.abc import Iterable


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: 1 trial, 2 trials."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def joined(names: Iterable[object], limit: int = 6) -> str:
    """Return names with commas, those beyond the limit counted.

    >>> joined("abcd", 3)
    'a, b, c and 1 more'
    """
    listed = [str(name) for name in names]
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
