"""Around every request: its id, its line in the log, its metrics, and an answer whatever happens."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seglab.serve.api.errors import error_response
from seglab.serve.errors import Refused
from seglab.serve.pipeline.service import Service

LOG = logging.getLogger("seglab.serve.access")
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
PREDICT = "/v1/predict"
_GONE = 499  # the caller closed the connection; only in log and metrics
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Observed:
    """Wraps the application.

    Args:
        app: What it wraps.
        service: Has metrics and options.
        routes: Paths by which requests are counted; others count together.
    """

    def __init__(self, app: ASGIApp, service: Service, routes: Collection[str]) -> None:
        self.app, self.service, self.routes = app, service, frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(scope)
        seen: dict[str, object] = {}  # what the log is to say besides
        state["seen"] = seen
        state["is_logged"] = self._is_logged(scope)
        answer = _Answer(send, self.service.options.header_seconds, state["request_id"])
        start = time.monotonic()
        self.service.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, answer.send)
        except (ClientDisconnect, ConnectionError):
            answer.status = answer.status or _GONE
        except Exception:
            LOG.exception("failed", extra={"request_id": state["request_id"]})
            if answer.status:
                raise  # half an answer is out; the connection has to break
            refused = Refused("internal", "the service failed; its log says more")
            await error_response(refused, state["request_id"])(scope, receive, answer.send)
        finally:
            self.service.metrics.in_flight.dec()
            self._note(scope, answer.status or _GONE, time.monotonic() - start, seen)

    def _is_logged(self, scope: Scope) -> bool:
        log = self.service.log
        return log is not None and scope["path"] == PREDICT and log.draws()

    def _note(self, scope: Scope, status: int, seconds: float, seen: dict[str, object]) -> None:
        route = scope["path"] if scope["path"] in self.routes else "other"
        self.service.metrics.requests.labels(route, str(status)).inc()
        self.service.metrics.request_seconds.labels(route).observe(seconds)
        if scope["state"]["is_logged"]:
            from seglab.serve.pipeline.logged import log_request

            code = "gone" if status == _GONE else str(seen.get("code", status))
            log_request(self.service, scope["state"], status, code, seconds)
        quiet = status < 400 and route in ("/healthz", "/readyz", "/metrics")
        client = scope.get("client")
        LOG.log(
            logging.DEBUG if quiet else logging.INFO,
            "request",
            extra={
                "request_id": scope["state"]["request_id"],
                "method": scope["method"],
                "path": scope["path"][:200],
                "status": status,
                "milliseconds": round(1000 * seconds, 2),
                "client": client[0] if client else None,
                **seen,
            },
        )


class _Answer:
    """Sends with our headers, and not for ever to a caller that does not read."""

    def __init__(self, send: Send, seconds: float, request_id: str) -> None:
        self._send, self._seconds, self._request_id = send, seconds, request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            raise ConnectionError("the caller does not take the answer") from None


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(text):
            return text
    return uuid.uuid4().hex
