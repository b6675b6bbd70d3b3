"""One worker: a bundle, an event loop, and uvicorn on a socket that all workers share.

Started by the supervisor, which tells it what to do over a channel; when the supervisor ends, however it
does, so does the worker.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from seglab.bundle.loader import Bundle, BundleError
from seglab.core.errors import SeglabError
from seglab.serve.api.app import create_app
from seglab.serve.errors import Refused
from seglab.serve.keys import Keys, read_keys
from seglab.serve.limits import Rate
from seglab.serve.logs import log_as_json
from seglab.serve.metrics import Metrics
from seglab.serve.options import ServeOptions
from seglab.serve.pipeline.service import Service, describe, open_bundle
from seglab.serve.process.channel import Channel
from seglab.serve.process.connection import bounded_connections
from seglab.serve.schema import Model, ReloadAnswer

_LOG = logging.getLogger("seglab.serve")
_REFRESH = 2.0  # seconds between looks at the memory


@dataclass(frozen=True)
class Place:
    """What a worker inherits.

    Attributes:
        listener: Descriptor of the socket that requests come to.
        channel: Descriptor of the channel to the supervisor.
        rates: File of the callers' rates.
    """

    listener: int
    channel: int
    rates: str


class Worker:
    """What the supervisor's words make of a service."""

    def __init__(self, options: ServeOptions, service: Service, channel: Channel) -> None:
        self.options, self.service, self._channel = options, service, channel
        self._next: tuple[Bundle, Keys] | None = None
        self._asked: list[asyncio.Future[dict[str, Any]]] = []

    async def follow(self) -> None:
        """Do what the supervisor says until it ends."""
        while (message := await self._channel.hear()) is not None:
            what = message["say"]
            if what == "prepare":
                await self._prepare()
            elif what == "use" and self._next:
                self.service.use(*self._next)
                self._next = None
                self.service.metrics.reloads.labels("done").inc()
            elif what == "forget":
                self._next = None
            elif what == "reloaded":
                for future in self._asked:
                    future.set_result(message)
                self._asked.clear()

    async def _prepare(self) -> None:
        try:
            bundle = await asyncio.to_thread(open_bundle, self.options)
            self._next = bundle, read_keys(self.options.keys)
        except Exception as error:  # noqa: BLE001 - the former bundle goes on, whatever it is
            self.service.metrics.reloads.labels("refused").inc()
            self._channel.say("refused", message=str(error) or type(error).__name__)
        else:
            self._channel.say("prepared", model=describe(bundle).model_dump())

    async def reload(self) -> ReloadAnswer:
        """Have every worker use the bundle that is there now.

        Raises:
            Refused: One cannot, so none does.
        """
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked.append(future)
        self._channel.say("reload")
        outcome = await future
        if "message" in outcome:
            raise Refused("bundle", f"the former bundle goes on: {outcome['message']}")
        return ReloadAnswer(model=Model(**outcome["model"]), workers=outcome["workers"])


def main() -> int:
    """Serve until told to end; return 2 where the bundle or the keys cannot be used."""
    told = json.loads(os.environ.pop("SEGLAB_SERVE_WORKER"))
    options, place = ServeOptions.read(told["options"]), Place(**told["place"])
    log_as_json(options.log_level)
    warnings.simplefilter("ignore")  # Pillow's, of odd images
    # Those of the terminal reach every process of its group; the supervisor alone decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return asyncio.run(_serve(options, place))


async def _serve(options: ServeOptions, place: Place) -> int:
    channel = await Channel.open(socket.socket(fileno=place.channel))
    try:
        bundle, keys = await asyncio.to_thread(open_bundle, options), read_keys(options.keys)
    except (BundleError, SeglabError, OSError) as error:
        channel.say("failed", message=str(error))
        channel.close()
        return 2
    metrics = Metrics()
    rate = Rate(Path(place.rates), options.rate, options.burst) if options.rate else None
    log = None
    if options.log is not None:
        from seglab.serve.pipeline.logged import open_log  # needs pyarrow

        log = open_log(options.log, metrics)
    service = Service(bundle, options, metrics, keys, rate, log)
    worker = Worker(options, service, channel)
    server = _Server(_configuration(service, worker), service)
    following = asyncio.create_task(worker.follow())
    following.add_done_callback(lambda _: _end(server, options))
    watching = asyncio.create_task(_watch(service, server, channel))
    metrics.worker_starts.inc()
    await server.serve(sockets=[socket.socket(fileno=place.listener)])
    watching.cancel()
    await service.close()
    return 0


def _configuration(service: Service, worker: Worker) -> uvicorn.Config:
    options = service.options
    protocol = bounded_connections(options.connections, options.header_seconds, service.metrics)
    return uvicorn.Config(
        create_app(service, worker.reload),
        http=protocol,  # httptools would be faster, but bounds no headers
        ws="none",
        loop="asyncio",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(options.proxies),
        forwarded_allow_ips=options.proxies or None,
        timeout_keep_alive=int(options.keep_alive),
        timeout_graceful_shutdown=max(1, int(options.drain)),
        backlog=1024,
    )


class _Server(uvicorn.Server):
    """Tells the service that it drains, and ends by returning rather than by the signal again."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to drain."""
        self._service.draining = True
        self.should_exit = True


async def _watch(service: Service, server: uvicorn.Server, channel: Channel) -> None:
    """Say when requests are taken, then keep the gauges fresh."""
    while not server.started:
        await asyncio.sleep(0.01)
    service.metrics.workers.set(1)
    channel.say("ready", model=describe(service.bundle).model_dump())
    while True:
        service.metrics.watch_memory()
        await asyncio.sleep(_REFRESH)


def _end(server: _Server, options: ServeOptions) -> None:
    """Drain because the supervisor has gone; leave in any case once the time for that is over."""
    server.handle_exit(signal.SIGTERM, None)

    def leave() -> None:
        time.sleep(options.drain + 5)
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
