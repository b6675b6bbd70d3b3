"""Which controllers of a study are alive, so that trials of dead ones can be taken over.

Optuna's heartbeat needs a database and a thread, and starts a new trial for one that was left; ours
works in a journal too, and the trial is resumed.

A controller writes down who it is, and its heartbeat, as an attribute of the study. On its own
machine a controller is judged by its process: gone is gone, at once, and one that is merely slow or
suspended keeps its trials. From elsewhere only the heartbeat can be seen; a clock that is off by
more than `grace_s` would mislead it, so machines that share a study need the same time (NTP).
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import psutil

from seglab.runs.process import effective_status, writer_facts

log = logging.getLogger(__name__)

_PREFIX = "controller:"
# A beat is a write; this many fit into the grace, so that one may fail or be late.
_BEATS_A_GRACE = 6
_LONGEST_BEAT_S = 20.0


class Presence:
    """The heartbeat of this controller, and a view of the others'.

    Args:
        study: Whose attributes hold the heartbeats.
        controller: Id of this controller; no other may ever have it.
        grace_s: Seconds without a heartbeat after which a controller elsewhere counts as dead.
    """

    def __init__(self, study: optuna.Study, controller: str, grace_s: float) -> None:
        self._study = study
        self._controller = controller
        self._grace_s = grace_s
        self._every_s = min(grace_s / _BEATS_A_GRACE, _LONGEST_BEAT_S)
        self._facts: dict[str, Any] | None = None
        self._due = 0.0

    def register(self) -> None:
        """Write this controller down, if it is not yet."""
        if self._facts is None:
            self._facts = {**writer_facts(), "place": _place()}
            self.beat(now=True)

    def beat(self, now: bool = False) -> bool:
        """Write the heartbeat if it is due (or `now`); return whether it was written."""
        if self._facts is None or (not now and time.monotonic() < self._due):
            return False
        self._write(left=False)
        self._due = time.monotonic() + self._every_s
        return True

    def leave(self) -> None:
        """Say that this controller is gone, though its process may stay."""
        if self._facts is not None:
            self._write(left=True)
            self._facts = None

    def others(self) -> Controllers:
        """Return all controllers as they are now."""
        return Controllers(self._study.user_attrs, self._grace_s)

    def _write(self, left: bool) -> None:
        facts = {**(self._facts or {}), "beat": time.time(), "left": left}
        self._study.set_user_attr(f"{_PREFIX}{self._controller}", facts)


class Controllers:
    """All controllers that a study ever had, at one moment.

    Args:
        attributes: Of the study.
        grace_s: Seconds without a heartbeat after which a controller elsewhere counts as dead.
    """

    def __init__(self, attributes: Mapping[str, Any], grace_s: float) -> None:
        self._facts = {
            key.removeprefix(_PREFIX): facts
            for key, facts in attributes.items()
            if key.startswith(_PREFIX)
        }
        self._grace_s = grace_s

    def is_alive(self, controller: str | None) -> bool:
        """Whether a controller still runs its trials."""
        facts = self._facts.get(controller or "")
        if facts is None or facts["left"]:
            return False
        if facts["host"] == socket.gethostname() and facts["place"] == _place():
            return effective_status({**facts, "status": "running"}) == "running"
        return bool(time.time() - facts["beat"] <= self._grace_s)

    def last_sign(self, controller: str | None) -> float | None:
        """When a controller was last heard of, in unix seconds; None if never."""
        facts = self._facts.get(controller or "")
        return None if facts is None else float(facts["beat"])


@cache
def _place() -> str:
    """Return what tells machines and containers apart that go by the same host name.

    Only where this is the same do process numbers mean the same processes.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    numbers = Path("/proc/self/ns/pid")
    try:
        return f"{boot.read_text().strip()}/{numbers.stat().st_ino}"
    except OSError:
        return f"{psutil.boot_time():.0f}"
