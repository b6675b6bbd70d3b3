"""The log's share of the disk: the oldest files go first."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path

IMAGES = "images"
_KEPT = 0.9  # of the limit: not every file that comes is a reason to look at all of them again
_STALE = 3600.0  # seconds after which a file that is still being written never will be


def prune(folder: Path, max_bytes: int) -> int:
    """Remove the oldest files beyond a limit, and what processes that were killed left half-written.

    Args:
        folder: Of the log.
        max_bytes: Limit; where it is passed, nine tenths of it are kept.

    Returns:
        Bytes that are left.
    """
    files = sorted(_files(folder))
    total = sum(size for _, _, size in files)
    most = total if total <= max_bytes else int(_KEPT * max_bytes)
    for (day, _), path, size in files:
        if total <= most:
            break
        path.unlink(missing_ok=True)
        total -= size
        _remove_empty(folder / day)
    return total


def _files(folder: Path) -> Iterator[tuple[tuple[str, str], Path, int]]:
    """Yield day and time, path and size of every file of the log."""
    for day in folder.glob("[0-9]*-[0-9]*-[0-9]*"):
        for place in (day, day / IMAGES):
            for entry in os.scandir(place) if place.is_dir() else ():
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # another worker was faster
                if not entry.is_file(follow_symlinks=False):
                    continue
                if entry.name.startswith(".") and time.time() - found.st_mtime > _STALE:
                    Path(entry.path).unlink(missing_ok=True)
                    _remove_empty(day)
                elif not entry.name.startswith("."):
                    yield (
                        (day.name, _time_of(entry.name, found, day.name)),
                        Path(entry.path),
                        (found.st_size),
                    )


def _time_of(name: str, found: os.stat_result, day: str) -> str:
    if name.startswith("part-"):
        return name.split("-")[1]
    written = datetime.datetime.fromtimestamp(found.st_mtime, datetime.UTC)
    return written.strftime("%H%M%S") if written.strftime("%Y-%m-%d") == day else "235959"


def _remove_empty(day: Path) -> None:
    for place in (day / IMAGES, day):
        try:
            place.rmdir()
        except OSError:
            continue  # not there, or not empty
