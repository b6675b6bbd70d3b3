"""The controller's side of the warm server: starts it, asks it to fork, receives the ends of processes."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import TypeVar

from seglab.core.errors import TrainingError
from seglab.engine.process import wire
from seglab.engine.process.server_process import Exited, Ready, ServerPlan, Started

log = logging.getLogger(__name__)

T = TypeVar("T")

# Importing from a cold disk on a cluster takes minutes; longer than this is a hang.
_WARM_LIMIT_S = 600.0
_FORK_LIMIT_S = 60.0
_LEAVE_LIMIT_S = 15.0
# Asking for a device's facts must not start CUDA, and the pools of a BLAS are of no use here.
_VARIABLES = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1", "OPENBLAS_NUM_THREADS": "1"}


class ServerGoneError(TrainingError):
    """The server does not answer; another one may."""


class Server:
    """A process that has imported the modules, and forks.

    Args:
        preload: Modules to import; what cannot be imported is warned of once.
        orphan_s: Seconds its trials have to leave when this process is gone.

    Attributes:
        is_alive: False once it was seen to be gone.
        warm_s: Seconds its imports took; None before they are done.
    """

    def __init__(self, preload: Sequence[str], orphan_s: float) -> None:
        self.is_alive = True
        self.warm_s: float | None = None
        self._exits: list[Exited] = []
        self._sock, theirs = socket.socketpair()
        self._inbox = wire.Inbox(self._sock)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        code = "from seglab.engine.process.server_process import main; main({})"
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code.format(theirs.fileno())],
                env={**os.environ, **_VARIABLES, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        wire.send(self._sock, ServerPlan(tuple(preload), sys.path, orphan_s), _FORK_LIMIT_S)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a process has ended."""
        return self._sock.fileno()

    def wait_warm(self) -> float:
        """Wait until it can fork, and return the seconds its imports took.

        Raises:
            ServerGoneError: It ended instead.
        """
        if self.warm_s is None:
            ready = self._expect(Ready, _WARM_LIMIT_S)
            self.warm_s = ready.seconds
            for problem in ready.problems:
                log.warning("the server that trials are forked from: %s", problem)
            log.info("trials can be forked after %.1f s of imports", ready.seconds)
        return self.warm_s

    def fork(self, channel: socket.socket, log_file: int) -> int:
        """Return the id of a new process that has one end of a socket and writes to a file.

        Raises:
            ServerGoneError: The server ended before or meanwhile.
        """
        self.wait_warm()
        try:
            self._sock.settimeout(_FORK_LIMIT_S)
            socket.send_fds(self._sock, [b"f"], [channel.fileno(), log_file])
        except OSError as error:
            raise self._gone() from error
        return self._expect(Started, _FORK_LIMIT_S).pid

    def exits(self) -> list[Exited]:
        """Return the ends that were not returned before; sees here whether the server lives."""
        if self.is_alive:
            self._exits += self._inbox.ready()
            if not self._inbox.is_open:
                log.warning("%s; running trials go on", self._gone())
        exits, self._exits = self._exits, []
        return exits

    def close(self) -> None:
        """Close the connection; the server ends with the last of its processes."""
        self.is_alive = False
        self._sock.close()
        if self.warm_s is None:
            self.process.kill()  # it has forked nothing yet, and may import for long
        self._wait()
        self._output.close()

    def _wait(self) -> int:
        """Return the exit code of a server that is about to leave."""
        try:
            return self.process.wait(_LEAVE_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _expect(self, kind: type[T], limit_s: float) -> T:
        end = time.monotonic() + limit_s
        while True:
            try:
                message = self._inbox.wait(max(0.0, end - time.monotonic()))
            except EOFError as error:
                raise self._gone() from error
            except TimeoutError as error:
                self.process.kill()
                raise self._gone(f"did not answer in {limit_s:g} s") from error
            if isinstance(message, kind):
                return message
            self._exits.append(message)

    def _gone(self, manner: str | None = None) -> ServerGoneError:
        """Note that it is gone, and return an error with the last line of its output."""
        self.is_alive = False
        code = self._wait()
        self._output.seek(0)
        words = self._output.read().decode("utf-8", errors="replace").strip().splitlines()
        last = f": {words[-1]}" if words else ""
        return ServerGoneError(
            f"the server that trials are forked from {manner or f'ended with code {code}'}{last}"
        )
