"""The process of a trial, as the pool sees it: its messages, its deadline, and how it ended."""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import psutil

from seglab.core.trial import FailureReason, TrialEnd
from seglab.engine.device.slots import Slot
from seglab.engine.process import wire
from seglab.engine.process.endings import death_of, ending_of
from seglab.engine.process.events import Ended, Ending, Event, Progress, Report
from seglab.engine.process.server import Server
from seglab.engine.process.server_process import signal_group

log = logging.getLogger(__name__)

SEND_LIMIT_S = 60.0
# How often to look at processes whose server is gone.
_LOOK_S = 0.2


@dataclass
class TrialProcess:
    """A process, from its start to its end.

    Attributes:
        number: Of the trial.
        slot: What it uses.
        server: That forked it.
        pid: Its id, and that of its group.
        inbox: Of the socket to it.
        log_path: What it prints.
        log_offset: Where in the log its own lines begin.
        timeout_s: Seconds it has.
        term_s: Seconds it has to leave once its time or its work is over.
        started: Unix time of its start.
        began: The same on the clock that does not jump.
        is_gone: Whether it and its group have ended.
        exit_code: Of the process then, as far as known.
    """

    number: int
    slot: Slot
    server: Server
    pid: int
    inbox: wire.Inbox
    log_path: Path
    log_offset: int
    timeout_s: float | None
    term_s: float
    started: float
    began: float
    is_gone: bool = False
    exit_code: int | None = None
    _asked: str | None = None
    _kill_at: float | None = None
    _report: int | None = None
    _first_step_s: float | None = None
    _ending: Ending | None = None

    def __post_init__(self) -> None:
        # Knows when it began, so it does not take a later process of the same id for this one.
        self._process = _process(self.pid)

    def messages(self) -> list[Event]:
        """Return the events of all messages that have come since the last call."""
        events: list[Event] = []
        if self.inbox.is_open:
            for message in self.inbox.ready():
                events += self._events_of(message)
        return events

    def _events_of(self, message: tuple[Any, ...]) -> list[Event]:
        match message:
            case ("report", identity, step, value):
                self._report = identity
                return [Report(self.number, step, value)]
            case ("progress", at, facts):
                if facts.get("first_step") and self._first_step_s is None:
                    self._first_step_s = at - self.began
                return [Progress(self.number, facts)]
            case ("ending", ending, result):
                self._ending = _with_result(ending, result)
                self._kill_at = time.monotonic() + self.term_s
        return []

    def answer(self, prune: bool) -> None:
        """Answer its report, if it waits for that."""
        if self._report is None:
            return
        message, self._report = (self._report, prune), None
        try:
            wire.send(self.inbox.sock, message, SEND_LIMIT_S)
        except OSError:
            log.debug("trial %d ended before it was answered", self.number)

    def ask_to_stop(self, why: str, patience_s: float) -> None:
        """Ask it to save and stop within `patience_s`, unless its work is over already.

        The process alone, not its group: a training cannot save when its loader workers, or the
        other ranks, are killed under it. It ends them itself, and the server ends the rest.
        """
        if self._ending is not None:
            return
        self._asked = self._asked or why
        at = time.monotonic() + patience_s
        self._kill_at = at if self._kill_at is None else min(at, self._kill_at)
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all it has started."""
        self._kill_at = float("inf")
        # Before it has a group of its own the process is alone.
        if not (_is_running(self._process) and signal_group(self.pid, signal.SIGKILL)):
            self._signal(signal.SIGKILL)

    def enforce_deadline(self) -> None:
        """Ask it to stop when its time is over; end it when it was asked long enough ago."""
        now = time.monotonic()
        if self._kill_at is not None:
            if now >= self._kill_at:
                self.kill()
        elif self.timeout_s is not None and now >= self.began + self.timeout_s:
            self.ask_to_stop("timeout", self.term_s)

    def due(self) -> float:
        """Return when to look at it again, even if no message comes."""
        at = float("inf") if self._kill_at is None else self._kill_at
        if self._kill_at is None and self.timeout_s is not None:
            at = self.began + self.timeout_s
        return at if self.server.is_alive else min(at, time.monotonic() + _LOOK_S)

    def check_alive(self) -> None:
        """Notice the end of a process whose server is gone and cannot report it."""
        if not self.server.is_alive and not self.is_gone and not _is_running(self._process):
            self.is_gone = True
            signal_group(self.pid, signal.SIGKILL)

    def end(self) -> Ended:
        """Return how it ended, after it has."""
        self.inbox.sock.close()
        ending = self._ending or death_of(
            self.exit_code, self._asked, self.log_path, self.log_offset
        )
        if self._asked == "timeout":
            text = f"stopped after {self.timeout_s:g} s, the time a trial has"
            ending = replace(
                ending, status=TrialEnd.FAILED, reason=FailureReason.TIMEOUT, error=text
            )
        elif self._asked == "stop" and ending.status == TrialEnd.FAILED:
            # Whatever broke while it was made to stop says nothing about the trial.
            ending = replace(ending, reason=FailureReason.INTERRUPTED)
        ending = replace(
            ending,
            exit_code=self.exit_code,
            first_step_s=self._first_step_s,
            started=self.started,
            ended=time.time(),
        )
        return Ended(self.number, ending)

    def _signal(self, number: int) -> None:
        if self._process is None:
            return
        try:
            self._process.send_signal(number)
        except psutil.NoSuchProcess:
            log.debug("trial %d is gone already", self.number)


def _with_result(ending: Ending, data: bytes) -> Ending:
    try:
        return replace(ending, result=cloudpickle.loads(data))
    except Exception as error:  # noqa: BLE001 - whatever a class raises when it is read
        return ending_of(error, "the trial's result cannot be read: ")


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _is_running(process: psutil.Process | None) -> bool:
    """Tell whether a process still does anything; its id may be another one's by now."""
    if process is None:
        return False
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
