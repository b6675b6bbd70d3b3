"""The file an embedded study lives in, so that no death of a process or a machine can spoil it.

It is Optuna's journal, one JSON object a line, and anything that reads Optuna's journals reads it.
Two things differ from Optuna's own way of writing it. A machine that dies in the middle of a write
leaves half a line; the next line would be glued to it and the journal could never be read again, so
the half line is cut off before anything is written. And the lock is one that the kernel frees:
Optuna's is a symbolic link that outlives a killed process and holds everybody up for 30 seconds.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import filelock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from seglab.core.errors import ConfigError, DataError

log = logging.getLogger(__name__)

# A write takes milliseconds; who holds the lock for so long is stopped, not slow.
_LOCK_TIMEOUT_S = 60.0
# filelock asks again after this time; its own choice of 50 ms would slow down busy controllers.
_ASK_AGAIN_S = 0.003
_BLOCK = 1 << 16
_FIRST_BYTES = b'{"op_code"'


class EmbeddedStorage(JournalStorage):
    """Optuna's storage in a journal of ours.

    Attributes:
        journal: The file.
    """

    def __init__(self, journal: StudyJournal) -> None:
        self.journal = journal
        super().__init__(journal)


def open_journal(path: Path) -> EmbeddedStorage:
    """Return the storage in a file; the file is made, or repaired where its end is torn.

    Raises:
        DataError: It is another kind of file, or a line in the middle cannot be read, which no
            dying writer of ours leaves behind.
        ConfigError: The file system has no locks.
    """
    backend = StudyJournal(path)
    with path.open("rb") as stream:
        start = stream.read(len(_FIRST_BYTES))
    if start != _FIRST_BYTES[: len(start)]:
        raise DataError(f"{path} is no journal of a study: it starts with {start!r}")
    backend.repair()
    try:
        return EmbeddedStorage(backend)
    except ValueError as error:
        raise DataError(_describe_damage(path)) from error


class StudyJournal(JournalFileBackend):
    """Optuna's journal file with a lock that dies with its holder and an end that heals.

    Args:
        path: Of the journal; made empty if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kernel_lock = KernelLock(path)
        self._together = 0
        super().__init__(str(path), lock_obj=self._kernel_lock)  # type: ignore[arg-type]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines in one write, and wait until they are on the disk (see `together`)."""
        lines = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in logs)
        with self._kernel_lock.held(), self._path.open("a+b") as stream:
            # Another machine may have died while this one went on.
            _cut_half_line(stream, self._path)
            stream.write(lines.encode())
            stream.flush()
            if not self._together:
                os.fsync(stream.fileno())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Wait for the disk once for all that the body appends: the wait is what a write costs.

        Others read the lines at once. A machine that dies in the body loses the last of them only,
        as if it had died earlier.
        """
        self._together += 1
        try:
            yield
        finally:
            self._together -= 1
            if not self._together:
                with self._path.open("rb") as stream:
                    os.fsync(stream.fileno())

    def repair(self) -> None:
        """Cut off what a dying writer left at the end: half a line, or a line that is no JSON."""
        with self._path.open("rb") as stream:
            if _end_of_whole_lines(stream, parsed=True) == stream.seek(0, os.SEEK_END):
                return
        if not os.access(self._path, os.W_OK):
            return  # Optuna reads around it; only a further write would do harm.
        with self._kernel_lock.held(), self._path.open("a+b") as stream:
            _cut_half_line(stream, self._path, parsed=True)
            os.fsync(stream.fileno())


class KernelLock:
    """Excludes other writers of a file; freed by the kernel when its holder dies, however it dies.

    What Optuna calls a BaseJournalFileLock. Not reentrant: it is taken around a single write only.
    Each storage has its own, and two of one process exclude each other as those of two do.

    Args:
        path: What is written; the lock is a hidden file beside it.
    """

    def __init__(self, path: Path) -> None:
        self._lock = file_lock(path.with_name(f".{path.name}.lock"))

    def acquire(self) -> bool:
        """Wait for the lock and take it."""
        self._lock.acquire(timeout=_LOCK_TIMEOUT_S)
        require_kernel_lock(self._lock)
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock during the body."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def file_lock(path: Path) -> filelock.FileLock:
    """Return a lock that two holders in one process exclude each other with, too."""
    return filelock.FileLock(path, poll_interval=_ASK_AGAIN_S)


def require_kernel_lock(lock: filelock.FileLock) -> None:
    """Refuse what filelock falls back to where there are no locks: a file that outlives a kill.

    Raises:
        ConfigError: The file system has no locks.
    """
    if isinstance(lock, filelock.SoftFileLock):
        lock.release()
        raise ConfigError(
            f"study.storage: the file system of {lock.lock_file} has no locks (flock), so processes "
            "could not share a study there; use another folder or a PostgreSQL URL"
        )


def _cut_half_line(stream: IO[bytes], path: Path, parsed: bool = False) -> None:
    size = stream.seek(0, os.SEEK_END)
    keep = _end_of_whole_lines(stream, parsed)
    if keep < size:
        stream.truncate(keep)
        stream.seek(0, os.SEEK_END)
        log.warning(
            "%s ended in the middle of a line: a writer died there. The %d bytes of what it did "
            "not finish were cut off; everything before is kept.",
            path,
            size - keep,
        )


def _end_of_whole_lines(stream: IO[bytes], parsed: bool) -> int:
    """Return how many bytes are whole lines; `parsed`: the last of them must be JSON, too."""
    end = _after_newline(stream, stream.seek(0, os.SEEK_END))
    start = _after_newline(stream, end - 1)
    stream.seek(start)
    return end if not parsed or _is_entry(stream.read(end - start)) else start


def _after_newline(stream: IO[bytes], end: int) -> int:
    """Return the place after the last newline before `end`; 0 if there is none."""
    block = 1  # almost always it is the last byte
    while end > 0:
        start = max(0, end - block)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end, block = start, _BLOCK
    return 0


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _describe_damage(path: Path) -> str:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not _is_entry(line):
                return (
                    f"line {number} of {path} is no entry of a journal: {line[:80]!r}. Something "
                    "else than seglab wrote after a crash; make a copy of the file, then delete "
                    "that line or split it where the second entry starts ('{\"op_code\"')"
                )
    return f"{path} cannot be read as a journal of Optuna"
