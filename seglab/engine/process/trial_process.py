"""Runs inside the process of a trial: sets it up, does its work, and sends how that ended."""

from __future__ import annotations

import atexit
import faulthandler
import gc
import itertools
import math
import os
import pickle
import queue
import random
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import util
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import cloudpickle
import psutil

from seglab.core.trial import TrialEnd
from seglab.engine.device.slots import take_slot
from seglab.engine.process import wire
from seglab.engine.process.endings import ending_of
from seglab.engine.process.events import Ending

# Of all that may be killed when the machine runs out of memory, trials go first.
_KILL_ME_FIRST = "300"


@dataclass(frozen=True)
class Assignment:
    """What a forked process has to do, and where.

    Attributes:
        study: Id of the study.
        number: Of the trial.
        work: What to call with the channel, pickled.
        environment: All variables, those of the slot included.
        directory: Where the controller works.
        path: `sys.path` of the controller.
        argv: Command line of the controller.
        memory_bytes: What the process may allocate beyond what it was forked with.
        orphan_s: Seconds to save and leave when the controller is gone.
    """

    study: str
    number: int
    work: bytes
    environment: Mapping[str, str]
    directory: str
    path: list[str]
    argv: list[str]
    memory_bytes: int | None
    orphan_s: float


def run_trial(sock: socket.socket, log: int) -> NoReturn:
    """Do the work that comes over the socket and leave; called once, right after the fork.

    Args:
        sock: To the controller.
        log: Descriptor of the file that stdout and stderr go to.
    """
    # A session of its own: Ctrl-C does not come here, and all it starts can be ended together.
    os.setsid()
    _write_to(log)
    os.set_inheritable(sock.fileno(), False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    gc.enable()
    # What modules of the server have registered (removing its temporary folders) is not ours to do.
    atexit._clear()
    atexit.register(util._exit_function)  # type: ignore[attr-defined]
    inbox = wire.Inbox(sock)
    try:
        assignment: Assignment = inbox.wait()
    except EOFError:
        os._exit(1)
    channel = PipeChannel(inbox, assignment)
    ending = _work(assignment, channel)
    # A late request to stop must not cut the message short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.end(ending)
    _leave(0 if ending.status in (TrialEnd.FINISHED, TrialEnd.PRUNED) else 1, channel)


class PipeChannel:
    """The way from a trial's process to the controller; see `seglab.core.trial.TrialChannel`.

    A thread reads what comes. When the controller is gone it asks this process to stop, as SIGTERM
    does, and ends it with all that it started when it does not.

    Args:
        inbox: Of the socket to the controller.
        assignment: Of this process.
    """

    def __init__(self, inbox: wire.Inbox, assignment: Assignment) -> None:
        self.study = assignment.study
        self.number = assignment.number
        self.is_orphan = False
        self._inbox = inbox
        self._orphan_s = assignment.orphan_s
        self._ids = itertools.count()
        self._answers: queue.SimpleQueue[tuple[int | None, bool]] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._reporting = threading.Lock()
        threading.Thread(target=self._listen, name="seglab-controller", daemon=True).start()

    def report(self, value: float, step: int) -> bool:
        """Report a score and return whether the study gives the trial up."""
        value = float(value)
        if math.isnan(value):
            return False
        with self._reporting:
            own = next(self._ids)
            if self.is_orphan or not self._send("report", own, int(step), value):
                return False
            # The answer to a report whose wait was interrupted may still come; None is the last.
            while (answer := self._answers.get())[0] not in (own, None):
                pass
            return answer[1]

    def progress(self, **facts: Any) -> None:
        """Tell how far the training is."""
        self._send("progress", time.monotonic(), facts)

    def end(self, ending: Ending) -> None:
        """Send how the work ended; a result that cannot be sent is an error of the trial."""
        try:
            result = cloudpickle.dumps(ending.result)
        except Exception as error:  # noqa: BLE001 - whatever a class raises when it is pickled
            ending = ending_of(error, "the trial's result cannot be sent to its study: ")
            result = pickle.dumps(None)
        self._send("ending", replace(ending, result=None), result)

    def _send(self, *message: object) -> bool:
        """Send, and return whether there was anybody to send to."""
        with self._sending:
            try:
                wire.send(self._inbox.sock, message)
            except OSError:
                return False
        return True

    def _listen(self) -> None:
        while not self.is_orphan:
            try:
                self._answers.put(self._inbox.wait())
            except MemoryError:
                continue  # the work took it all; it is about to hear of it
            except (EOFError, OSError):
                if not _is_open(self._inbox.sock):
                    return  # the work has closed it, and nobody is gone
                self.is_orphan = True
        self._answers.put((None, False))
        _say(f"the controller is gone; stopping, within {self._orphan_s:g} s")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self._orphan_s)
        _say("did not stop; leaving")
        os.killpg(0, signal.SIGKILL)


def _is_open(sock: socket.socket) -> bool:
    try:
        os.fstat(sock.fileno())
    except OSError:
        return False
    return True


def _write_to(log: int) -> None:
    """Send stdout and stderr, also those of C code and other processes, to the log."""
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    faulthandler.enable(file=2)


def _work(assignment: Assignment, channel: PipeChannel) -> Ending:
    try:
        _set_up(assignment)
        work = pickle.loads(assignment.work)  # noqa: S301 - from our own controller
        return Ending(TrialEnd.FINISHED, result=work(channel))
    except BaseException as error:  # noqa: BLE001 - every end is an answer, SystemExit too
        # First: what filled the memory is still held by the frames of the error.
        _allow_all_memory()
        ending = ending_of(error)
        if ending.status == TrialEnd.FAILED:
            _say(ending.traceback.rstrip())
        return ending


def _set_up(assignment: Assignment) -> None:
    """Take the controller's folder and variables, and the devices, threads and memory of the slot."""
    os.environ.clear()
    os.environ.update(assignment.environment)
    os.chdir(assignment.directory)
    sys.path[:], sys.argv[:] = assignment.path, assignment.argv
    take_slot()
    _limit_threads(os.environ.get("OMP_NUM_THREADS", ""))
    _seed_anew()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILL_ME_FIRST, encoding="ascii")
    if assignment.memory_bytes is not None:
        _limit_memory(assignment.memory_bytes)


def _limit_threads(text: str) -> None:
    """Tell libraries that read the variable when they were loaded, in the server, its new value."""
    if not text.isdigit() or not (count := int(text)):
        return
    if pools := sys.modules.get("threadpoolctl"):
        pools.threadpool_limits(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)
        # Can be set once in a life.
        with suppress(RuntimeError):
            torch.set_num_interop_threads(count)


def _seed_anew() -> None:
    """Take random numbers from the system, or all trials would start with the server's."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.manual_seed(random.getrandbits(63))


def _limit_memory(count: int) -> None:
    used = getattr(psutil.Process().memory_info(), "data", None)
    if used is None:
        _say("memory_gb: this system cannot limit the memory of a process; going on without")
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + count
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    # The soft limit alone: it is lifted to write down what happened.
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _allow_all_memory() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Once: a second request must not break the saving that the first one began.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")


def _say(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _leave(code: int, channel: PipeChannel) -> NoReturn:
    """End as an interpreter does, up to the point where it would take modules apart."""
    try:
        # Waits for threads, such as those that still write a checkpoint; multiprocessing does so too.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - the result is sent; this goes to the log
        _say(traceback.format_exc().rstrip())
    if channel.is_orphan:
        # Nobody else may be left to end what this process has started.
        os.killpg(0, signal.SIGKILL)
    os._exit(code)
