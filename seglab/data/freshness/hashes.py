"""SHA-256 of the files of a data set, read again only where a file's status says that it changed.

So an unchanged data set costs one `stat` a file. A status is size and the times of the last change
of content (mtime) and of the file's entry (ctime: it also moves where a tool puts the old mtime
back).
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seglab.core.disk.files import sha256_bytes, write_text
from seglab.core.disk.urls import is_url
from seglab.data.remote import below, remote_statuses
from seglab.data.remote.client import fetch as fetch_url

log = logging.getLogger(__name__)

# A file may change again without its times moving on: those of some file systems step by 2 s.
_SETTLED_NS = 2_000_000_000
_FORMAT_VERSION = 1

# In place of a hash: the file is there, and nobody asked what is in it.
NOT_READ = "not read"

Status = tuple[int, int, int]


class FileHashes:
    """Hashes of the files below a root, remembered with the status each had when it was read.

    Args:
        root: Folder that names count from.
        store: JSON file to remember them in; what cannot be read there is forgotten, and a place
            that cannot be written to costs time only. None: nothing is kept.
    """

    def __init__(self, root: Path, store: Path | None = None) -> None:
        self.root = root
        self.store = store
        self._known: dict[str, tuple[Status, str]] = {} if store is None else _read(store)
        self._changed = False

    def of(self, names: Iterable[str], fetch: bool = True) -> dict[str, str | None]:
        """Return the SHA-256 of each file by its name below the root; None: there is no such file.

        Args:
            names: Paths below the root, or URLs.
            fetch: Read files by URL too; else those not known are `NOT_READ`.

        Raises:
            OSError: A file cannot be read.
        """
        found: dict[str, str | None] = {}
        unknown: dict[str, Status] = {}
        for name, status in self.statuses(names).items():
            known = self._known.get(name)
            if status is None:
                found[name] = None
            elif known is not None and known[0] == status:
                found[name] = known[1]
            elif fetch or not (is_url(name) or is_url(self.root)):
                unknown[name] = status
            else:
                found[name] = NOT_READ
        if unknown:
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                hashes = dict(zip(unknown, pool.map(self._read_hash, unknown), strict=True))
            self.learn(unknown, hashes)
            found |= hashes
        self._save()
        return found

    def statuses(self, names: Iterable[str]) -> dict[str, Status | None]:
        """Return the status of each file, None where there is none; take it before reading."""
        listed = names if isinstance(names, Collection) else list(names)
        if not is_url(self.root) and not any(map(is_url, listed)):
            return {name: _status(self.root / name) for name in listed}
        return remote_statuses(self.root, listed)

    def learn(
        self, statuses: Mapping[str, Status | None], hashes: Mapping[str, str | None]
    ) -> None:
        """Remember hashes of files that were read after their statuses were taken."""
        settled = time.time_ns() - _SETTLED_NS
        for name, digest in hashes.items():
            status = statuses.get(name)
            # A file that is being changed is read again the next time.
            if digest is not None and status is not None and max(status[1:]) < settled:
                self._known[name] = (status, digest)
                self._changed = True
        self._save()

    def _read_hash(self, name: str) -> str:
        path = below(self.root, name)
        # Past the cache: all of a data set would push out what is in use.
        return sha256_bytes(fetch_url(str(path)) if is_url(path) else path.read_bytes())

    def _save(self) -> None:
        if self.store is None or not self._changed:
            return
        content = {name: [*status, digest] for name, (status, digest) in self._known.items()}
        try:
            write_text(self.store, json.dumps({"version": _FORMAT_VERSION, "files": content}))
        except OSError as error:
            log.debug("hashes of files are not kept in %s: %s", self.store, error)
        self._changed = False


def _status(path: Path) -> Status | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(store: Path) -> dict[str, tuple[Status, str]]:
    try:
        content = json.loads(store.read_text(encoding="utf-8"))
        if content["version"] != _FORMAT_VERSION:
            return {}
        return {
            name: ((int(size), int(changed), int(entered)), str(digest))
            for name, (size, changed, entered, digest) in content["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
