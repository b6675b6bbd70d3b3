"""Moments and spans of time as one says them."""

from __future__ import annotations


def format_moment(text: str | None) -> str:
    """Return a time as recorded (ISO 8601, UTC) to the minute."""
    return f"{str(text).replace('T', ' ')[:16]} UTC" if text else "not recorded"


def format_runtime(seconds: object) -> str:
    """Return a time span in the unit one would say it in."""
    if not isinstance(seconds, int | float) or not seconds > 0:
        return "not recorded"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
