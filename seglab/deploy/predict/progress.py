"""How far a long work is and when it will be done, on one line of a terminal or some lines of a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_IN_PLACE_S, _BY_LINE_S = 0.2, 15.0


class Progress:
    """Counts files, also parts of one, and tells how long the rest will take.

    Args:
        total: Number of files.
        noun: What they are called.
        stream: Where it is told.
    """

    def __init__(self, total: int, noun: str = "files", stream: TextIO | None = None) -> None:
        self.total = total
        self.noun = noun
        self.skipped = 0
        self._stream = stream or sys.stderr
        self._in_place = self._stream.isatty()
        self._start = self._told = time.monotonic()
        self._done = 0.0
        self._length = 0

    def advance(self, files: float = 1.0) -> None:
        """Count files, or a part of one."""
        self._done += files
        now = time.monotonic()
        if now - self._told >= (_IN_PLACE_S if self._in_place else _BY_LINE_S):
            self._told = now
            self._tell(self.line(now - self._start))

    def line(self, seconds: float) -> str:
        """Return what is told after some seconds."""
        rate = self._done / max(seconds, 1e-9)
        left = f", {duration((self.total - self._done) / rate)} left" if rate else ""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self._done:.4g} of {self.total} {self.noun}{skipped}, {rate:.3g}/s{left}"

    def end(self) -> None:
        """Leave the terminal's line free for what is said next."""
        if self._in_place and self._length:
            self._stream.write("\r" + " " * self._length + "\r")
            self._stream.flush()
        self._length = 0

    def _tell(self, line: str) -> None:
        text = f"\r{line:<{self._length}}" if self._in_place else f"{line}\n"
        self._length = len(line)
        self._stream.write(text)
        self._stream.flush()


def duration(seconds: float) -> str:
    """Return a time as one says it.

    >>> duration(42), duration(200), duration(9000)
    ('42 s', '3 min 20 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
