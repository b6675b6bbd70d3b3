"""How much at once, and how often: memory of requests under way, and the rate of each caller."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import mmap
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, TypeVar

from seglab.serve.errors import Refused
from seglab.serve.metrics import Metrics

_Result = TypeVar("_Result")


class Budget:
    """Bytes that requests under way may hold together.

    Args:
        total: Bytes.
        metrics: Shows what is held.
    """

    def __init__(self, total: int, metrics: Metrics) -> None:
        self.total, self.held = total, 0
        self._lock, self._shown = threading.Lock(), metrics.held_bytes

    def take(self, size: int) -> None:
        """Hold bytes.

        Raises:
            Refused: They would be more than there may be.
        """
        with self._lock:
            if self.held + size > self.total:
                raise Refused("memory", "too much is under way; try again later", retry_after=1)
            self.held += size
            self._shown.set(self.held)

    def give(self, size: int) -> None:
        """Let bytes go."""
        with self._lock:
            self.held -= size
            self._shown.set(self.held)


class Hold:
    """What one request holds of the budget, and the threads that work for it.

    A thread cannot be stopped; what it works on counts as held until it is done, also where its request
    was answered meanwhile.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget, self._size, self._lock = budget, 0, threading.Lock()
        self._running: set[Future[Any]] = set()

    def take(self, size: int) -> None:
        """Hold more bytes; raises as `Budget.take`."""
        self._budget.take(size)
        with self._lock:
            self._size += size

    async def run(self, pool: Executor, work: Callable[..., _Result], *given: Any) -> _Result:
        """Run work in a thread of a pool; where the request ends before its turn, it never runs."""
        future = pool.submit(work, *given)
        self._running.add(future)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let everything go, as soon as no thread works on it."""
        self._running = {future for future in self._running if not future.done()}
        for future in self._running:
            future.add_done_callback(lambda _: self.close())
            return
        with self._lock:
            size, self._size = self._size, 0
        self._budget.give(size)


class Rate:
    """A token bucket for every caller, shared by all workers.

    Callers fall into a fixed number of buckets by a keyed hash, so that no number of callers makes it
    grow; two may share a bucket, and then the limit.

    Args:
        path: The file that the workers share; its first bytes are the key of the hash.
        rate: Tokens a second.
        burst: Tokens of a full bucket.
    """

    _SECRET, _BUCKET, _COUNT = 16, struct.Struct("dd"), 4096

    def __init__(self, path: Path, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self._file = path.open("r+b")
        self._table = mmap.mmap(self._file.fileno(), 0)
        self._secret = self._table[: self._SECRET]

    @classmethod
    def create(cls, path: Path, secret: bytes) -> None:
        """Write the file, every bucket full."""
        path.write_bytes(secret[: cls._SECRET].ljust(cls._SECRET, b"\0"))
        with path.open("r+b") as file:
            file.truncate(cls._SECRET + cls._COUNT * cls._BUCKET.size)

    def take(self, caller: str) -> None:
        """Take a caller's token.

        Raises:
            Refused: The bucket is empty.
        """
        digest = hashlib.blake2b(caller.encode(), key=self._secret, digest_size=4).digest()
        place = self._SECRET + int.from_bytes(digest) % self._COUNT * self._BUCKET.size
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            used, last = self._BUCKET.unpack_from(self._table, place)
            now = time.monotonic()
            used = max(0.0, used - (now - last) * self.rate)
            if used + 1 <= self.burst:
                self._BUCKET.pack_into(self._table, place, used + 1, now)
                return
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        seconds = (used + 1 - self.burst) / self.rate
        raise Refused(
            "rate",
            f"more than {self.rate:g} requests a second; try again in {seconds:.2f} s",
            retry_after=seconds,
        )
