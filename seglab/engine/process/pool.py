"""Runs each trial in a process of its own, forked from a server that has all imports behind it.

A crash, a leak or a lack of memory stays in the trial, and a start takes hundredths of a second. The
pool knows slots, processes and how they end, and nothing of studies. It is used by one thread, and
imports no torch.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Self

import cloudpickle

from seglab.core.errors import TrainingError
from seglab.core.trial import TrialChannel
from seglab.engine.device.slots import Slot
from seglab.engine.process import wire
from seglab.engine.process.events import Ended, Event, Report
from seglab.engine.process.server import Server, ServerGoneError
from seglab.engine.process.trial import SEND_LIMIT_S, TrialProcess
from seglab.engine.process.trial_process import Assignment

log = logging.getLogger(__name__)

PRELOAD = ("seglab.experiment.warm",)

# A training that is asked to stop saves a checkpoint first.
SAVE_S = 60.0


class Pool:
    """Gives slots to trials, and hears from them. Use as a context manager.

    The server starts when the context is entered, and warms up while the caller goes on; the first
    `start` waits for it. Leaving the context stops everything.

    Args:
        slots: What each process may use; a slot never has two.
        preload: Modules the server imports; none: a bare server, whose trials import by themselves.
        memory_gb: GiB each process of a trial may allocate beyond the imported modules, which all
            trials share; its loader workers have as much again, each. None: no limit.
        study: Id of the study, for the channel of the trials.
        term_s: Seconds a process has to leave once its time or its work is over.
        orphan_s: Seconds a process has to save and leave when this process is gone.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        preload: Sequence[str] = PRELOAD,
        memory_gb: float | None = None,
        study: str = "",
        term_s: float = 10.0,
        orphan_s: float = 30.0,
    ) -> None:
        self.slots = list(slots)
        self.preload = tuple(preload)
        self.memory_gb = memory_gb
        self.study = study
        self.term_s = term_s
        self.orphan_s = orphan_s
        self._running: dict[int, TrialProcess] = {}
        self._late: list[Event] = []
        self._servers: list[Server] = []

    def __enter__(self) -> Self:
        self._servers.append(Server(self.preload, self.orphan_s))
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.stop()
        finally:
            # Where waiting was interrupted a second time, nobody is asked any more.
            for one in self._running.values():
                one.kill()
            for server in self._servers:
                server.close()

    @property
    def free(self) -> list[Slot]:
        """The slots that no process has."""
        taken = [one.slot for one in self._running.values()]
        return [slot for slot in self.slots if slot not in taken]

    def wait_warm(self) -> float:
        """Wait for the server, and return the seconds its imports took.

        Raises:
            TrainingError: It ended instead.
        """
        return self._server().wait_warm()

    def start(
        self,
        number: int,
        work: Callable[[TrialChannel], Any],
        slot: Slot,
        log_path: Path,
        timeout_s: float | None = None,
    ) -> None:
        """Start a trial.

        Args:
            number: Of the trial; names it in events.
            work: Called in the new process; sent by value where that cannot import it.
            slot: One of `free`.
            log_path: Gets what the process prints, after what is there already.
            timeout_s: Seconds after which it is stopped.

        Raises:
            ValueError: The slot or the number is taken.
            TrainingError: The work cannot be sent, or no server can be started.
        """
        if slot not in self.free:
            raise ValueError(f"trial {number}: slot '{slot.name}' is busy or not of this pool")
        if number in self._running:
            raise ValueError(f"trial {number} is running already")
        assignment = self._assignment(number, work, slot)
        log_path.parent.mkdir(parents=True, exist_ok=True)
        started, began = time.time(), time.monotonic()
        with log_path.open("ab") as stream:
            offset = stream.tell()
            server, pid, sock = self._fork(stream.fileno())
        one = self._running[number] = TrialProcess(
            number,
            slot,
            server,
            pid,
            wire.Inbox(sock),
            log_path,
            offset,
            timeout_s,
            self.term_s,
            started,
            began,
        )
        try:
            wire.send(sock, assignment, SEND_LIMIT_S)
        except OSError:
            one.kill()  # it is dead or does not read; `events` reports its end

    def events(self, wait_s: float) -> list[Event]:
        """Return what has happened, in order for each trial; wait for it at most `wait_s`."""
        until = time.monotonic() + wait_s
        found, self._late = self._late, []
        while True:
            found += self._look(0.0 if found else until - time.monotonic())
            if found or time.monotonic() >= until:
                return found

    def answer(self, number: int, prune: bool) -> None:
        """Answer the `Report` of a trial; nothing happens where the trial has ended since."""
        if number in self._running:
            self._running[number].answer(prune)

    def stop(self, patience_s: float = SAVE_S) -> list[Ended]:
        """Ask all trials to save and stop; end those that do not within `patience_s`.

        Reports that come meanwhile are answered with "go on", and returned by the next `events`.
        """
        for one in self._running.values():
            one.ask_to_stop("stop", patience_s)
        ended: list[Ended] = []
        while self._running:
            for event in self._look(1.0):
                if isinstance(event, Ended):
                    ended.append(event)
                    continue
                self._late.append(event)
                if isinstance(event, Report):
                    self.answer(event.number, prune=False)
        return ended

    def _assignment(
        self, number: int, work: Callable[[TrialChannel], Any], slot: Slot
    ) -> Assignment:
        try:
            data = cloudpickle.dumps(work)
        except Exception as error:
            raise TrainingError(
                f"trial {number}: its work cannot be sent to another process ({error}); "
                "functions and what they refer to must be picklable"
            ) from error
        return Assignment(
            study=self.study,
            number=number,
            work=data,
            environment={**os.environ, **slot.variables},
            directory=str(Path.cwd()),
            path=list(sys.path),
            argv=list(sys.argv),
            memory_bytes=None if self.memory_gb is None else int(self.memory_gb * 2**30),
            orphan_s=self.orphan_s,
        )

    def _server(self) -> Server:
        """Return the server; a new one where it is gone."""
        if not self._servers[-1].is_alive:
            self._servers.append(Server(self.preload, self.orphan_s))
        return self._servers[-1]

    def _fork(self, log_file: int) -> tuple[Server, int, socket.socket]:
        for is_last in (False, True):
            server = self._server()
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    return server, server.fork(theirs, log_file), ours
                except ServerGoneError as error:
                    ours.close()
                    if is_last:
                        raise
                    log.warning("%s; starting another", error)
        raise AssertionError("the last attempt returns or raises")

    def _look(self, wait_s: float) -> list[Event]:
        """Return what has happened; wait at most `wait_s` for it, or for a time that is over."""
        running = self._running.values()
        due = min((one.due() for one in running), default=float("inf"))
        sources: list[Any] = [server for server in self._servers if server.is_alive]
        sources += [one.inbox.sock for one in running if one.inbox.is_open]
        wait(sources, max(0.0, min(wait_s, due - time.monotonic())))
        self._note_exits()
        events: list[Event] = []
        for one in list(running):
            # All messages that it sent before its end have arrived by now.
            events += one.messages()
            if one.is_gone:
                del self._running[one.number]
                events.append(one.end())
            else:
                one.enforce_deadline()
        return events

    def _note_exits(self) -> None:
        for server in self._servers:
            for exited in server.exits():
                for one in self._running.values():
                    if one.server is server and one.pid == exited.pid:
                        one.is_gone, one.exit_code = True, exited.code
        for one in self._running.values():
            one.check_alive()
