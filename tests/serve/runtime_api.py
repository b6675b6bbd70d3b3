"""Lambda's runtime interface over HTTP, as a function's client sees it: events out, answers in."""

from __future__ import annotations

import json
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_BASE = "/2018-06-01/runtime"


class RuntimeApi(ThreadingHTTPServer):
    """Hands events to the function that polls, and keeps what it answers.

    References:
        https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._count = 0

    def __enter__(self) -> RuntimeApi:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def invoke(self, event: Any) -> Any:
        """Return what the function answers to an event; an AssertionError where it fails."""
        self._count += 1
        name = f"event-{self._count}"
        self.events.put((name, event))
        path, answer = self.answers.get(timeout=60)
        assert path == f"{_BASE}/invocation/{name}/response", (path, answer)
        return answer

    def failure(self, event: Any = None) -> tuple[str, Any]:
        """Return what the function reports where it fails: the last part of the path, and the error."""
        if event is not None:
            self.events.put(("bad", event))
        path, answer = self.answers.get(timeout=60)
        assert path.startswith(_BASE)
        return path.removeprefix(_BASE), answer


class _Handler(BaseHTTPRequestHandler):
    server: RuntimeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert self.path == f"{_BASE}/invocation/next"
        name, event = self.server.events.get()
        self.send_response(200)
        content = json.dumps(event).encode()
        self.send_header("Lambda-Runtime-Aws-Request-Id", name)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(round(1000 * (time.time() + 60))))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu:1:function:f")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.answers.put((self.path, json.loads(content)))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
