"""Writes the log beside a running service, which it must neither hold up nor bring down."""

from __future__ import annotations

import os
import random
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from seglab.monitor.log.parts import Parts, day_of
from seglab.monitor.log.pictures import store_picture
from seglab.monitor.log.pruning import prune
from seglab.monitor.log.schema import OK, table_of
from seglab.monitor.options import LogOptions

Event = Literal["rows", "rows_lost", "images_lost", "seconds"]
_MOST_ROWS = 4096  # of a file: what is held of rows is bounded too
_LOOK_EVERY = 64  # the folder is looked through again after so many parts of the limit were written
_TELL_EVERY = 60.0  # seconds between messages of one kind
_UNSAFE = re.compile(r"[^\w-]", re.ASCII)


@dataclass(frozen=True)
class Entry:
    """An image that was asked about.

    Args:
        time: When the answer was ready, seconds since 1970.
        request_id: Of the service.
        bundle: `Bundle.id`.
        variant: Of the bundle.
        latency: Seconds of the whole request.
        image: Number within the request.
        status: "ok", or the code of the refusal.
        name: The caller's file name.
        stream: Camera or sequence.
        queue: Seconds it waited for the network.
        predict: Seconds in the network.
        measure: Returns the numbers of the image by column; called in the log's thread.
        pixels: `(H, W, C)`, to be kept where privacy allows.
        held: Bytes that `measure` and `pixels` hold.
    """

    time: float
    request_id: str
    bundle: str
    variant: str
    latency: float
    image: int = 0
    status: str = OK
    name: str | None = None
    stream: str | None = None
    queue: float | None = None
    predict: float | None = None
    measure: Callable[[], Mapping[str, Any]] | None = None
    pixels: np.ndarray[Any, Any] | None = None
    held: int = 0


_PLAIN = (
    "time request_id bundle variant latency image status stream queue predict".split()  # columns as they are
)


class RequestLog:
    """Takes entries from any thread, and writes them in one of its own.

    Nothing it meets is raised: what cannot be measured or written is counted as lost.

    Args:
        options: Where and what.
        tell: Gets a line where something is lost, not more than one a minute of a kind.
        count: Gets how many rows were written or lost, images lost, and seconds of the processor spent.
    """

    def __init__(
        self,
        options: LogOptions,
        tell: Callable[[str], None],
        count: Callable[[Event, float], None] = lambda event, number: None,
    ) -> None:
        self.options, self._tell, self._count = options, tell, count
        self.counts: dict[Event, float] = dict.fromkeys(get_args(Event), 0)
        self._folder = Path(options.folder).expanduser()
        writer = f"{os.getpid()}x{secrets.token_hex(3)}"
        self._parts = Parts(self._folder, writer)
        self._waiting: deque[Entry] = deque()
        self._held, self._closing = 0, False
        self._changed = threading.Condition()
        self._rows: list[dict[str, Any]] = []
        self._due = 0.0
        self._unseen: int | None = None  # bytes written since the folder was looked through
        self._told: dict[str, float] = {}
        self._thread = threading.Thread(target=self._work, daemon=True, name="request-log")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Entries that are not measured yet."""
        return len(self._waiting)

    def draws(self) -> bool:
        """Tell whether the next request belongs to the sample."""
        return random.random() < self.options.sample  # noqa: S311 - no secret

    def add(self, entry: Entry) -> None:
        """Log an image; it returns at once, and what there is no room for is lost."""
        with self._changed:
            is_full = self._held + entry.held > self.options.memory * 2**20 and self._waiting
            if not is_full and not self._closing:
                self._waiting.append(entry)
                self._held += entry.held
                self._changed.notify()
                return
        self._lose(1, "images come faster than they can be measured; lower sample or raise memory")

    def close(self, timeout: float = 10.0) -> None:
        """Write what is held, and end; what is not written in time is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._lose(len(self._waiting) + len(self._rows), f"not written within {timeout:g} s")

    def _lose(self, rows: int, why: str) -> None:
        self._note("rows_lost", rows)
        self._say(f"rows of the log are lost: {why}")

    def _note(self, event: Event, number: float) -> None:
        self.counts[event] += number
        self._count(event, number)

    def _say(self, text: str) -> None:
        kind, now = text[:40], time.monotonic()
        if now >= self._told.get(kind, -np.inf) + _TELL_EVERY:
            self._told[kind] = now
            self._tell(text)

    def _work(self) -> None:
        spent = time.thread_time()
        while True:
            spent, before = time.thread_time(), spent
            self._note("seconds", spent - before)
            entry = self._next()
            if entry is not None:
                self._take(entry)
            is_over = entry is None and self._closing
            if self._rows and (
                is_over or time.monotonic() >= self._due or len(self._rows) >= _MOST_ROWS
            ):
                self._flush()
            if is_over:
                return

    def _next(self) -> Entry | None:
        """Wait for an entry; None where rows are due or the log closes."""
        with self._changed:
            while not self._waiting:
                left = self._due - time.monotonic() if self._rows else None
                if self._closing or (left is not None and left <= 0):
                    return None
                self._changed.wait(left)
            return self._waiting.popleft()

    def _take(self, entry: Entry) -> None:
        """Measure an image, and store what may be of it."""
        row = {name: getattr(entry, name) for name in _PLAIN}
        try:
            row |= {"name": entry.name if self.options.names else None}
            row |= entry.measure() if entry.measure else {}
            row["stored"] = self._store(entry)
        except Exception as error:  # noqa: BLE001 - whatever it is, the service goes on
            self._lose(1, f"an image cannot be measured: {type(error).__name__}: {error}")
            return
        finally:
            with self._changed:
                self._held -= entry.held
        if not self._rows:
            self._due = time.monotonic() + self.options.flush_seconds
        self._rows.append(row)

    def _store(self, entry: Entry) -> str | None:
        if entry.pixels is None or self.options.privacy == "statistics":
            return None
        name = f"{_UNSAFE.sub('_', entry.request_id)}-{entry.image}"
        try:
            place, size = store_picture(entry.pixels, self.options, day_of(entry.time), name)
        except OSError as error:
            self._note("images_lost", 1)
            self._say(f"images of the log are lost: {error}")
            return None
        self._written(size)
        return place

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        try:
            size = self._parts.write(table_of(rows))
        except Exception as error:  # noqa: BLE001 - whatever it is, the service goes on
            self._lose(len(rows), str(error))
            return
        self._note("rows", len(rows))
        self._written(size)

    def _written(self, size: int) -> None:
        """Remove the oldest where there is too much."""
        self._unseen = None if self._unseen is None else self._unseen + size
        if self._unseen is not None and self._unseen < self.options.max_bytes // _LOOK_EVERY:
            return
        try:
            prune(self._folder, self.options.max_bytes)
        except OSError as error:
            self._say(f"old rows of the log cannot be removed: {error}")
        self._unseen = 0
