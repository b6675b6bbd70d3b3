"""The warm server: imports once what every trial needs, then forks one process per trial.

Not multiprocessing's forkserver, because that one is a single one for the whole process, swallows
what fails to import, runs a script without a `__main__` guard again in every child, takes the
children for dead when it dies itself, and knows nothing of process groups. This one also cleans up:
when a trial's process ends, however it does, whatever that process has started goes too, before the
pool hears of the end.

It computes nothing and has one thread, or its children could hang in their first parallel loop.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from seglab.engine.process import trial_process, wire

# What a trial leaves behind may end properly for this long; then it is killed.
_LEFT_BEHIND_S = 1.0
# A process that the kernel cannot kill (it waits for a disk) is not waited for longer than this.
_UNKILLABLE_S = 10.0
# Trials that lost their controller leave by themselves; those that cannot are killed a little later.
_BACKSTOP_S = 5.0
_LOOK_S = 0.05
_BECOME_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


@dataclass(frozen=True)
class ServerPlan:
    """The first message to the server.

    Attributes:
        preload: Modules to import.
        path: `sys.path` of the controller.
        orphan_s: Seconds that trials have to leave when the controller is gone.
    """

    preload: tuple[str, ...]
    path: list[str]
    orphan_s: float


@dataclass(frozen=True)
class Ready:
    """The server can fork now.

    Attributes:
        seconds: The imports took.
        problems: Modules that could not be imported, with reasons; threads that were started.
    """

    seconds: float
    problems: list[str]


@dataclass(frozen=True)
class Started:
    """A process was forked."""

    pid: int


@dataclass(frozen=True)
class Exited:
    """A process and everything in its group is gone; negative codes are signals."""

    pid: int
    code: int


def main(descriptor: int) -> None:
    """Serve the controller at the other end of a socket until it is gone."""
    sock = socket.socket(fileno=descriptor)
    # Ctrl-C is for the controller, which asks the trials to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plan: ServerPlan = wire.Inbox(sock).wait()
    sys.path[:] = plan.path
    _adopt_orphans()
    ready = _warm_up(plan.preload)
    with suppress(OSError):
        wire.send(sock, ready)
    _Server(sock, plan.orphan_s).serve()


def _warm_up(preload: tuple[str, ...]) -> Ready:
    began, problems = time.monotonic(), []
    # Garbage collection before a fork would free memory between what stays, and the children
    # would then write to pages they could share.
    gc.disable()
    for module in preload:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - any reason is a slow start only
            problems.append(f"{module} cannot be imported: {type(error).__name__}: {error}")
    others = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
    if others:
        problems.append(f"threads do not survive a fork, but these run: {', '.join(others)}")
    gc.freeze()
    return Ready(time.monotonic() - began, problems)


def _adopt_orphans() -> None:
    """Become the parent of what trials leave behind, so that it can be waited for (Linux only)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)


class _Server:
    """Forks on demand and reports each end.

    Args:
        sock: To the controller. A byte with two descriptors (the trial's end of its socket, its
            log) asks for a fork; answers are `Started` and `Exited`.
        orphan_s: As in `ServerPlan`.
    """

    def __init__(self, sock: socket.socket, orphan_s: float) -> None:
        self.sock = sock
        self.orphan_s = orphan_s
        self._running: set[int] = set()
        self._ending: dict[int, tuple[int, float]] = {}
        self._kill_at: float | None = None
        self._alarm, self._bell = socket.socketpair()
        self._alarm.setblocking(False)
        self._bell.setblocking(False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(self._bell.fileno())
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)
        self._selector.register(self._alarm, selectors.EVENT_READ)

    def serve(self) -> None:
        """Run until the controller is gone, and all trials too."""
        while self._kill_at is None or self._running or self._ending:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self.sock:
                    self._take_request()
                else:
                    with suppress(BlockingIOError):
                        self._alarm.recv(4096)
            self._reap()
            for pid, (code, since) in list(self._ending.items()):
                if self._is_cleared(pid, time.monotonic() - since):
                    del self._ending[pid]
                    self._send(Exited(pid, code))
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                for pid in self._running:
                    signal_group(pid, signal.SIGKILL)

    def _patience(self) -> float | None:
        if self._ending:
            return _LOOK_S
        return None if self._kill_at is None else max(_LOOK_S, self._kill_at - time.monotonic())

    def _take_request(self) -> None:
        data, descriptors = b"", list[int]()
        # Closing with an answer unread is an error on this side.
        with suppress(OSError):
            data, descriptors, _, _ = socket.recv_fds(self.sock, 1, 2)
        if data:
            self._fork(*descriptors)
            return
        self._selector.unregister(self.sock)
        self._kill_at = time.monotonic() + self.orphan_s + _BACKSTOP_S

    def _fork(self, channel: int, log: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become_trial(channel, log)
        os.close(channel)
        os.close(log)
        self._running.add(pid)
        self._send(Started(pid))

    def _become_trial(self, channel: int, log: int) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            for own in (self.sock, self._alarm, self._bell):
                own.close()
            trial_process.run_trial(socket.socket(fileno=channel), log)
        finally:
            os._exit(1)

    def _send(self, message: object) -> None:
        # Where the controller is gone, the loop notices it by the socket.
        with suppress(OSError):
            wire.send(self.sock, message)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            # Others are what trials left behind.
            if pid in self._running:
                self._running.remove(pid)
                self._ending[pid] = (os.waitstatus_to_exitcode(status), time.monotonic())
                signal_group(pid, signal.SIGTERM)

    def _is_cleared(self, pid: int, age: float) -> bool:
        """Tell whether a trial's process group is gone; kill what does not go."""
        sign = signal.SIGKILL if age > _LEFT_BEHIND_S else 0
        return not signal_group(pid, sign) or age > _UNKILLABLE_S


def signal_group(pid: int, number: int) -> bool:
    """Send a signal to all of a process group; return False where nothing is left of it."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _nothing(*_: object) -> None:
    """Wakes the loop up."""
