"""All workers: started, watched, told of a new bundle together, and ended together.

The supervisor holds no model and answers no request, so that nothing a request does can end it. A worker
that dies is started again, after a growing pause; what waits to be accepted waits on the shared socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from seglab.bundle.aliases import locate_bundle, split_reference
from seglab.core.disk.places import placing
from seglab.core.errors import ConfigError, DiskFullError, PlaceError, SeglabError
from seglab.monitor.options import LogOptions
from seglab.serve.keys import VARIABLE, read_keys
from seglab.serve.limits import Rate
from seglab.serve.logs import log_as_json
from seglab.serve.metrics import FOLDER_VARIABLE
from seglab.serve.options import ServeOptions
from seglab.serve.process.channel import Channel

_LOG = logging.getLogger("seglab.serve")
_LONGEST_PAUSE = 30.0
_SOUND = 60.0  # a worker that lived this long did not fail at its start
_PREPARE = 600.0  # seconds in which every worker must have read a new bundle
_LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass(eq=False)
class _Process:
    process: asyncio.subprocess.Process
    channel: Channel
    model: str | None = None  # id of the bundle that it uses, once it is ready
    outcome: asyncio.Future[dict[str, Any]] | None = None


@dataclass
class Supervisor:
    """Runs the workers of one service.

    Attributes:
        options: What every worker is told.
        listener: The socket that all of them share.
        folder: For what they share besides: counters and rates.
    """

    options: ServeOptions
    listener: socket.socket
    folder: Path
    _processes: set[_Process] = field(default_factory=set)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _failed: str | None = None
    _reloading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            ConfigError: The bundle or the keys cannot be used.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._keep(self.reload()))
        Rate.create(self.folder / "rates", secrets.token_bytes(16))
        keepers = [asyncio.create_task(self._keep_one()) for _ in range(self.options.workers)]
        if self.options.follow and split_reference(self.options.bundle):
            self._keep(self._follow())
        ended = asyncio.create_task(self._ending.wait())
        await asyncio.wait([ended, *keepers], return_when=asyncio.FIRST_COMPLETED)
        self._ending.set()
        self.listener.close()
        await self._end_all(keepers)
        ended.cancel()
        if self._failed is not None:
            raise ConfigError(f"bundle: {self._failed}")
        for keeper in keepers:
            keeper.result()

    async def _end_all(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        """Let every worker drain, and end what is not done in time."""
        for one in self._processes:
            _signal(one, signal.SIGTERM)
        _, late = await asyncio.wait(keepers, timeout=self.options.drain + 5)
        for one in self._processes:
            _signal(one, signal.SIGKILL)
        if late:
            _LOG.warning("%d workers did not end in time, and were killed", len(late))
            await asyncio.wait(keepers)

    async def _keep_one(self) -> None:
        """Have one worker running until the end."""
        pause = 0.5
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            start = loop.time()
            one = await self._start()
            await self._listen(one)
            code = await one.process.wait()
            self._processes.discard(one)
            _forget(self.folder, one.process.pid)
            if self._ending.is_set() or self._failed is not None:
                return
            pause = 0.5 if loop.time() - start > _SOUND else min(2 * pause, _LONGEST_PAUSE)
            _LOG.error(
                "a worker ended with %s; another starts in %.1f s",
                code,
                pause,
                extra={"worker": one.process.pid},
            )
            await _either(self._ending, pause)

    async def _start(self) -> _Process:
        ours, theirs = socket.socketpair()
        place = {
            "listener": self.listener.fileno(),
            "channel": theirs.fileno(),
            "rates": str(self.folder / "rates"),
        }
        told = json.dumps({"options": self.options.to_dict(), "place": place})
        environment = {
            "MALLOC_ARENA_MAX": "2",  # else every thread keeps freed images in a heap of its own
            # The network has its own threads; products of small matrices by several took twice the processor.
            "OPENBLAS_NUM_THREADS": "1",
            **os.environ,
            FOLDER_VARIABLE: str(self.folder),
            "SEGLAB_SERVE_WORKER": told,
        }
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "seglab.serve.process.worker"),
                env=environment,
                pass_fds=(self.listener.fileno(), theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
            )
        one = _Process(process, await Channel.open(ours))
        self._processes.add(one)
        if self._ending.is_set():
            _signal(one, signal.SIGTERM)
        return one

    async def _listen(self, one: _Process) -> None:
        """Hear what a worker says until it ends."""
        while (message := await one.channel.hear()) is not None:
            what = message["say"]
            if what == "ready":
                one.model = message["model"]["id"]
                more = {"worker": one.process.pid, "model": message["model"]}
                _LOG.info("a worker serves", extra=more)
            elif what == "failed" and not any(other.model for other in self._processes):
                self._failed = message["message"]
            elif what == "failed":
                _LOG.error("a worker cannot start: %s", message["message"])
            elif what == "reload":
                self._keep(self._reload_for(one))
            elif one.outcome is not None and not one.outcome.done():
                one.outcome.set_result(message)
        one.channel.close()
        if one.outcome is not None and not one.outcome.done():
            one.outcome.set_result({"say": "refused", "message": "a worker ended"})

    async def _reload_for(self, asker: _Process) -> None:
        asker.channel.say("reloaded", **await self.reload())

    async def reload(self) -> dict[str, Any]:
        """Have every worker read the bundle again, then all use it, or none.

        Returns:
            `model` and `workers`; or `message` where a worker cannot.
        """
        async with self._reloading:
            asked = [one for one in self._processes if one.model]
            outcomes = await asyncio.gather(*(self._prepare(one) for one in asked))
            wrong = [found["message"] for found in outcomes if found["say"] != "prepared"]
            models = {found["model"]["id"]: found["model"] for found in outcomes if not wrong}
            if not asked:
                wrong = ["no worker is ready yet"]
            elif not wrong and len(models) != 1:
                wrong = ["the bundle changed while the workers read it"]
            for one in asked:
                one.channel.say("forget" if wrong else "use")
            if wrong:
                _LOG.error("the new bundle is not used: %s", wrong[0])
                return {"message": wrong[0]}
            [model] = models.values()
            for one in asked:
                one.model = model["id"]
            _LOG.info("every worker uses the bundle that is there now", extra={"model": model})
            return {"model": model, "workers": len(asked)}

    async def _follow(self) -> None:
        """Reload whenever the registry's alias stands for another bundle; tried once for each."""
        tried = None
        while not self._ending.is_set():
            await _either(self._ending, self.options.follow)
            try:
                wanted = locate_bundle(self.options.bundle).name
            except (SeglabError, OSError) as error:
                wanted = str(error)
            used = {one.model for one in self._processes if one.model}
            if used and used != {wanted} and wanted != tried:
                await self.reload()
                tried = wanted

    async def _prepare(self, one: _Process) -> dict[str, Any]:
        one.outcome = asyncio.get_running_loop().create_future()
        one.channel.say("prepare")
        try:
            return await asyncio.wait_for(one.outcome, _PREPARE)
        except TimeoutError:
            return {"say": "refused", "message": f"not read within {_PREPARE:g} s"}

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    _tasks: set[asyncio.Future[Any]] = field(default_factory=set)


async def _either(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _signal(one: _Process, number: int) -> None:
    if one.process.returncode is None:
        one.process.send_signal(number)


def _forget(folder: Path, pid: int) -> None:
    """Take the gauges of a worker that ended out of the metrics; its counters stay."""
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def serve(options: ServeOptions) -> None:
    """Serve a bundle until SIGTERM or SIGINT; SIGHUP lets every worker read it again.

    Raises:
        ConfigError: The bundle or the keys cannot be used.
        PlaceError: The address is taken, or is none of this machine; the log cannot be where it should.
    """
    log_as_json(options.log_level)
    if options.log is not None:
        _make_log(options.log)
    keys = read_keys(options.keys)
    with _listen_on(options) as listener, tempfile.TemporaryDirectory(prefix="seglab-") as folder:
        host, port = listener.getsockname()[:2]
        _LOG.info("listening", extra={"address": f"http://{_in_url(host)}:{port}"})
        if not keys.known and host not in _LOCAL:
            _LOG.warning(
                "no API keys, so whoever reaches this address may call: set keys=FILE or %s",
                VARIABLE,
            )
        asyncio.run(Supervisor(options, listener, Path(folder)).run())
    _LOG.info("ended")


def _make_log(options: LogOptions) -> None:
    """Make the folder of the log, while its user still looks."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError("log: needs pyarrow, which is not installed; pip install pyarrow")
    folder = Path(options.folder).expanduser()
    with contextlib.suppress(DiskFullError), placing(folder):  # there may be room later
        folder.mkdir(parents=True, exist_ok=True)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen_on(options: ServeOptions) -> socket.socket:
    """Bind, but accept nothing yet: a caller is refused until a worker can answer."""
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
        listener = socket.socket(found[0][0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[0][4])
    except OSError as error:
        raise PlaceError(
            f"host, port: cannot listen on {options.host}:{options.port}: {error.strerror}"
        ) from error
    return listener
