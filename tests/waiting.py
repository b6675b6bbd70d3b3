"""Waits for what another process does, a browser or a server; a failure says what was there instead."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_for(read: Callable[[], Any], seconds: float = 60.0, *, equals: Any = None) -> None:
    """Wait until what is read is true, or equals something, where that is given."""
    end = time.monotonic() + seconds
    while True:
        now = read()
        if (now == equals) if equals is not None else now:
            return
        wanted = "" if equals is None else f", expected {equals!r}"
        assert time.monotonic() < end, f"after {seconds:g} seconds it is {now!r}{wanted}"
        time.sleep(0.02)
