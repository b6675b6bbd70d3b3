"""Where run folders are: names for new ones, finding old ones, a hint when one is missing."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from seglab.core.errors import nearest

RECORD_FILE = "run.json"
_NAME = re.compile(r"[^A-Za-z0-9_.=-]+")


def new_run_dir(root: Path, experiment: str, name: str | None = None) -> Path:
    """Return a path for a new run that no other process gets: time, name and a random part."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    label = f"-{_NAME.sub('-', name).strip('-')[:40]}" if name else ""
    return root / _NAME.sub("-", experiment) / f"{stamp}{label}-{secrets.token_hex(3)}"


def find_runs(root: str | Path, depth: int | None = None) -> list[Path]:
    """Return all run folders under `root`, sorted; folders inside a run are not searched.

    Args:
        root: The folder itself may be a run.
        depth: How many levels of folders to go down; None: all.
    """
    return sorted(_walk(str(root), depth))


def _walk(folder: str, depth: int | None) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            listed = list(entries)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    if any(entry.name == RECORD_FILE for entry in listed):
        yield Path(folder)
        return
    if depth == 0:
        return
    for entry in listed:
        if entry.is_dir() and not entry.name.startswith("."):
            yield from _walk(entry.path, None if depth is None else depth - 1)


def describe_missing(path: Path, root: str | Path | None) -> str:
    """Return what to say when `path` is no run: the nearest and the newest run ids."""
    places = [Path(root)] if root is not None else [path.parent, path.parent.parent]
    place = next((folder for folder in places if folder.is_dir()), None)
    if place is None:
        return f"no run record at {path}, nor a folder of runs near it"
    # Two levels are experiment and run; a wrong path must not search a whole home folder.
    names = [found.name for found in find_runs(place, depth=2)]
    known = (
        f"newest under {place}: {', '.join(sorted(names)[-3:])}"
        if names
        else (f"no runs under {place}")
    )
    return f"no run record at {path}{nearest(path.name, names)}; {known}"
