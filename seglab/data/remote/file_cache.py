"""Files on disk by the SHA-256 of their content, within a limit of bytes; the least recently used go.

Any number of processes share a folder, and any of them may be killed at any moment. A file has its
name only when it is whole. Its bytes are counted, in a database beside, before the first of them is
written, and are counted until it is gone: so what lies there, parts of files too, never exceeds the
limit. What is read is remembered by the time of the file, so a reader waits for nobody.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

_DATABASE = "index.sqlite"
_PART = ".part"
_WAIT_S = 60.0
_VERSION = 1
_TABLES = (
    "CREATE TABLE files (digest TEXT PRIMARY KEY, size INTEGER, used INTEGER, writer TEXT)",
    "CREATE INDEX by_use ON files (used, digest)",
    "CREATE INDEX being_written ON files (writer) WHERE writer IS NOT NULL",
    "CREATE TABLE known (place TEXT PRIMARY KEY, status TEXT, digest TEXT)",
    "CREATE TABLE total (bytes INTEGER)",
    "INSERT INTO total VALUES (0)",
    "CREATE TRIGGER added AFTER INSERT ON files "
    "BEGIN UPDATE total SET bytes = bytes + NEW.size; END",
    "CREATE TRIGGER removed AFTER DELETE ON files "
    "BEGIN UPDATE total SET bytes = bytes - OLD.size; END",
)
_OLDEST = "SELECT digest, used FROM files WHERE digest NOT IN ({}) ORDER BY used, digest LIMIT 1"


class FileCache:
    """A folder of files that can be had again.

    Where the folder cannot be written to, or is full, a warning says so once and nothing is kept.

    Args:
        folder: Where they lie; deleting it loses nothing but time.
        limit: Bytes of all files together. A file of more is not kept.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._warned = False

    def get(self, digest: str) -> bytes | None:
        """Return the content with a SHA-256; None where it is not here."""
        path = self._path(digest)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        # Another process may have removed it since.
        with suppress(OSError):
            os.utime(path)
        return content

    def put(self, digest: str, content: bytes) -> None:
        """Keep a content; the least recently used ones make room for it."""
        if len(content) > self.limit:
            return
        try:
            if self._reserve(digest, len(content)):
                self._write(digest, content)
        except (OSError, sqlite3.Error) as error:
            self._warn(error)

    def digest_of(self, place: str, status: object) -> str | None:
        """Return the SHA-256 that a file of this status was found to have; None if it is not known."""
        try:
            with self._open() as database:
                query = "SELECT digest FROM known WHERE place = ? AND status = ?"
                row = database.execute(query, (place, str(status))).fetchone()
        except (OSError, sqlite3.Error) as error:
            self._warn(error)
            return None
        return None if row is None else str(row[0])

    def learn(self, place: str, status: object, digest: str) -> None:
        """Remember the SHA-256 of a file of this status."""
        try:
            with self._open() as database:
                database.execute(
                    "INSERT OR REPLACE INTO known VALUES (?, ?, ?)", (place, str(status), digest)
                )
        except (OSError, sqlite3.Error) as error:
            self._warn(error)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Yield the database, for one transaction; never kept open, as a fork would share it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / _DATABASE
        database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("BEGIN IMMEDIATE")
            if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                for statement in _TABLES:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {_VERSION}")
                self._remove_strangers()
            yield database
            database.execute("COMMIT")
        finally:
            # What was not committed is rolled back.
            database.close()

    def _remove_strangers(self) -> None:
        """Remove files that a new database does not count: the one that did was deleted."""
        for path in self.folder.glob("??/*"):
            path.unlink(missing_ok=True)

    def _reserve(self, digest: str, size: int) -> bool:
        """Count a file that is about to be written; False where it is here, or being written."""
        with self._open() as database:
            row = database.execute(
                "SELECT writer FROM files WHERE digest = ?", (digest,)
            ).fetchone()
            if row is not None:
                if _lives(row[0]) or (row[0] is None and self._path(digest).is_file()):
                    return False
                database.execute("DELETE FROM files WHERE digest = ?", (digest,))
            if not self._make_room(database, size):
                return False
            database.execute(
                "INSERT INTO files VALUES (?, ?, ?, ?)", (digest, size, time.time_ns(), _writer())
            )
        return True

    def _make_room(self, database: sqlite3.Connection, size: int) -> bool:
        """Remove the least recently used files; False where too many are just being written."""
        written = {
            digest
            for digest, writer in database.execute(
                "SELECT digest, writer FROM files WHERE writer IS NOT NULL"
            )
            if _lives(writer)
        }
        oldest = _OLDEST.format(", ".join("?" * len(written)))
        while database.execute("SELECT bytes FROM total").fetchone()[0] + size > self.limit:
            row = database.execute(oldest, tuple(written)).fetchone()
            if row is None:
                return False
            digest, used = row
            path = self._path(digest)
            read = path.stat().st_mtime_ns if path.is_file() else 0
            if read > used:
                # Its place in the order is later than was written down.
                database.execute("UPDATE files SET used = ? WHERE digest = ?", (read, digest))
                continue
            for file in (path, path.with_name(path.name + _PART)):
                file.unlink(missing_ok=True)
            database.execute("DELETE FROM files WHERE digest = ?", (digest,))
        return True

    def _write(self, digest: str, content: bytes) -> None:
        """Write a file whose bytes are reserved; nobody else writes one of this name meanwhile."""
        path = self._path(digest)
        part = path.with_name(path.name + _PART)
        try:
            path.parent.mkdir(exist_ok=True)
            with part.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            with self._open() as database:
                database.execute("DELETE FROM files WHERE digest = ?", (digest,))
            raise
        with self._open() as database:
            database.execute(
                "UPDATE files SET writer = NULL, used = ? WHERE digest = ?",
                (path.stat().st_mtime_ns, digest),
            )

    def _warn(self, error: Exception) -> None:
        if self._warned:
            return
        self._warned = True
        log.warning(
            "files read by URL are not kept in %s: %s; name another folder (paths.cache_dir or "
            "SEGLAB_CACHE), or delete this one if it is damaged",
            self.folder,
            error,
        )


def _writer() -> str:
    """Return a name of this thread of this process; a later process of the same number has another."""
    process = psutil.Process()
    return f"{process.pid} {process.create_time()} {threading.get_ident()}"


def _lives(writer: str | None) -> bool:
    """Return whether the process that was writing a file still runs."""
    if writer is None:
        return False
    pid, created, _ = writer.split()
    try:
        return f"{psutil.Process(int(pid)).create_time()}" == created
    except psutil.Error:
        return False
