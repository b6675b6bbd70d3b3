"""Where run folders are: names for new ones, finding old ones, a hint when one is missing."""

from __future__ import annotations

import errno
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from seglab.core.errors import nearest

RECORD_FILE = "run.json"
# Not there or gone meanwhile, a file, not ours to read, a link that leads to itself.
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP)
_NAME = re.compile(r"[^A-Za-z0-9_.=-]+")


def new_run_dir(root: Path, experiment: str, name: str | None = None) -> Path:
    """Return a path for a new run that no other process gets: time, name and a random part."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    label = f"-{_NAME.sub('-', name).strip('-')[:40]}" if name else ""
    return root / _NAME.sub("-", experiment) / f"{stamp}{label}-{secrets.token_hex(3)}"


def find_runs(root: str | Path, depth: int | None = None) -> list[Path]:
    """Return all run folders under `root`, sorted; folders inside a run are not searched.

    Links are followed, but a run that is there by its own name and by a link is listed once.

    Args:
        root: The folder itself may be a run.
        depth: How many levels of folders to go down; None: all.
    """
    real = os.path.realpath(root)
    # A link back to a folder above would bring in everything beside the root.
    seen = {str(parent) for parent in Path(real).parents}
    found: list[Path] = []
    waiting = [(str(root), real, 0)]
    links: list[tuple[str, str, int]] = []
    while waiting or links:
        folder, real, level = waiting.pop() if waiting else links.pop(0)
        if real in seen:
            continue
        seen.add(real)
        entries = _entries(folder)
        if any(entry.name == RECORD_FILE for entry in entries):
            found.append(Path(folder))
        elif depth is None or level < depth:
            for entry in entries:
                if entry.name.startswith(".") or entry.is_file(follow_symlinks=False):
                    continue
                if entry.is_symlink():
                    links.append((entry.path, os.path.realpath(entry.path), level + 1))
                else:
                    waiting.append((entry.path, os.path.join(real, entry.name), level + 1))  # noqa: PTH118 - fast
    return sorted(found)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        if error.errno in _NO_FOLDER:
            return []
        raise  # such as a disk that fails: runs must not be missing without a word


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
