"""Which of many files are there, and in what version, of any place: one listing where one tells all."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seglab.core.disk.urls import is_url
from seglab.data.remote.client import Status, list_folder, status_of
from seglab.data.remote.path import RemotePath, below

# Fewer are asked for one by one: the folder may hold millions of others.
_WORTH_A_LISTING = 20
_AT_ONCE = 32


def remote_statuses(root: Path, names: Collection[str]) -> dict[str, Status | None]:
    """Return size, time of change and version of each file by its name; None: there is no such file.

    Args:
        root: What names count from.
        names: Paths below the root, or URLs.

    Raises:
        RemoteError: A store cannot be reached, or refuses.
    """
    listed = None
    if is_url(root) and len(names) >= _WORTH_A_LISTING:
        listed = list_folder(str(root))
    found: dict[str, Status | None] = {}
    if listed is not None:
        found = {name: _told(listed, name) for name in names if not is_url(name)}
    rest = [name for name in names if name not in found]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found |= zip(rest, pool.map(lambda name: _status(below(root, name)), rest), strict=True)
    return found


def _told(listed: dict[str, Status | None], name: str) -> Status | None:
    return (listed[name] or _unknown()) if name in listed else None


def _status(path: Path) -> Status | None:
    try:
        if isinstance(path, RemotePath):
            return status_of(str(path)) or _unknown()
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _unknown() -> Status:
    """Return the status of a file that has none: it changed just now, for all one knows."""
    return 0, time.time_ns(), 0
