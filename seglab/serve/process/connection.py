"""HTTP connections that end: bounds on how many, and on how long one may say nothing useful.

uvicorn bounds neither the time for a request's headers nor how long it throws away the body of a request
that was answered already; a few hundred idle callers would hold every connection.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from seglab.serve.metrics import Metrics

_GRACE = 1.0  # seconds in which a request that was on its way at shutdown may still begin
_REASON = b'{"error":{"code":"connections","message":"too many connections","request_id":""}}'
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(_REASON), _REASON)
)


class Bounded(H11Protocol):
    """One connection; `bounded_connections` gives it its bounds."""

    most: ClassVar[int]
    header_seconds: ClassVar[float]
    metrics: ClassVar[Metrics]
    _late: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and close another, or this one, where there are too many."""
        super().connection_made(transport)
        self.metrics.connections.set(len(self.connections))
        self._since = time.monotonic()
        self._must_begin()
        if len(self.connections) > self.most and not _close_one(self.connections, self):
            self.metrics.refused.labels("connections").inc()
            transport.write(_FULL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no longer."""
        super().connection_lost(exc)
        self._is_in_time()
        self.metrics.connections.set(len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Take bytes; what is no whole request yet has its time from the first byte."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.is_serving:
            self._is_in_time()
        else:
            self._must_begin()

    def on_response_complete(self) -> None:
        """Wait for the next request, and not for ever for the rest of this one's body."""
        self._since = time.monotonic()
        super().on_response_complete()
        if not self.is_serving and self.conn.their_state is h11.SEND_BODY:
            self._must_begin()

    def shutdown(self) -> None:
        """End once the request that is being answered, or on its way, is done."""
        if self.is_serving:
            super().shutdown()
        else:  # its request may be on the way
            self.loop.call_later(_GRACE, self._end)

    @property
    def is_serving(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _end(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _must_begin(self) -> None:
        """Give the next headers their time, once, however slowly they trickle."""
        if self._late is None:
            self._late = self.loop.call_later(self.header_seconds, self._close)

    def _is_in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        if not self.is_serving:
            self.transport.close()


def bounded_connections(most: int, header_seconds: float, metrics: Metrics) -> type[Bounded]:
    """Return a protocol for uvicorn.

    Args:
        most: Connections at once; past it the one that waited longest without a request is closed.
        header_seconds: For the headers of a request, and for the rest of a body that is not needed.
        metrics: Counts them.
    """
    bounds = {"most": most, "header_seconds": header_seconds, "metrics": metrics}
    return type("Bounded", (Bounded,), bounds)


def _close_one(connections: set[Any], newest: Any) -> bool:
    """Close the connection that waited longest without a request; tell whether there was one."""
    idle = [
        one
        for one in connections
        if one is not newest and not one.is_serving and not one.transport.is_closing()
    ]
    if not idle:
        return False
    min(idle, key=lambda one: one._since).transport.close()
    return True
