"""One process of all at a time: the lock under which trials of a study change hands.

It is freed when its holder dies, however it dies: files are locked by the kernel, and PostgreSQL
frees an advisory lock with the connection that took it. Within a process it excludes other threads
and may be taken again by the thread that has it.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from seglab.core.errors import SeglabError
from seglab.runs.studies.journal import file_lock, require_kernel_lock
from seglab.runs.studies.storage_place import Place, parse_storage

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

# SQLSTATE of a lock that was not free in time.
_NOT_AVAILABLE = "55P03"
# A server learns within a minute that the machine of a lock's holder is gone.
_KEEPALIVES = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


class StudyBusyError(SeglabError, TimeoutError):
    """Another process held the lock of a study all the time."""


@dataclass
class _Gate:
    """The lock within this process; `depth` counts how often its thread went through."""

    mutex: threading.RLock = field(default_factory=threading.RLock)  # type: ignore[valid-type]
    depth: int = 0


_gates: dict[tuple[str, str], _Gate] = {}
# What a forked child inherits is held by nobody there.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_gates.clear)


@contextmanager
def study_lock(spec: str, timeout_s: float = 60.0, study: str = "") -> Iterator[None]:
    """Hold the lock of a study during the body.

    Args:
        spec: Its storage, as for `parse_storage`.
        timeout_s: How long to wait.
        study: Id of the study, where a database holds several.

    Raises:
        StudyBusyError: It was not free in time.
        StorageUnreachableError: The server does not answer.
    """
    place = parse_storage(spec)
    end = time.monotonic() + timeout_s
    gate = _gates.setdefault((str(place), study), _Gate())
    if not gate.mutex.acquire(timeout=max(timeout_s, 0)):
        raise _busy(place, timeout_s)
    try:
        if gate.depth:
            yield
            return
        with _between_processes(place, max(end - time.monotonic(), 0.001), study):
            gate.depth = 1
            try:
                yield
            finally:
                gate.depth = 0
    finally:
        gate.mutex.release()


def _between_processes(place: Place, timeout_s: float, study: str) -> AbstractContextManager[None]:
    if place.path is not None:
        return _locked_file(place, place.path, timeout_s)
    return _advisory_lock(place, timeout_s, study)


@contextmanager
def _locked_file(place: Place, path: Path, timeout_s: float) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = file_lock(path.with_name(f".{path.name}.claims.lock"))
    try:
        lock.acquire(timeout=timeout_s)
    except filelock.Timeout as error:
        raise _busy(place, timeout_s) from error
    require_kernel_lock(lock)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _advisory_lock(place: Place, timeout_s: float, study: str) -> Iterator[None]:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError, OperationalError

    digest = hashlib.sha256(f"seglab study {study}".encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    limits = {"lock_timeout": f"{int(timeout_s * 1000) or 1}ms", **_KEEPALIVES}
    change = text(
        "SELECT " + ", ".join(f"set_config('{n}', '{v}', false)" for n, v in limits.items())
    )
    try:
        connection = _engine(place).connect()
    except OperationalError as error:
        raise place.unreachable(error) from error
    try:
        try:
            connection.execute(change)
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        except OperationalError as error:
            state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
            raise (
                _busy(place, timeout_s) if state == _NOT_AVAILABLE else place.unreachable(error)
            ) from error
        yield
    finally:
        # Closing frees the lock; a connection that broke in the meantime has none to free.
        try:
            connection.close()
        except DBAPIError:
            connection.invalidate()


@cache
def _engine(place: Place) -> Engine:
    """Return an engine that keeps no connection; it remembers what it learnt of the server."""
    from sqlalchemy.pool import NullPool

    return place.engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")


def _busy(place: Place, timeout_s: float) -> StudyBusyError:
    return StudyBusyError(
        f"the lock of the study in {place} was not free within {timeout_s:.0f} s: another controller "
        "takes a trial all the time, or was stopped (not killed) while it took one"
    )
