"""A running Label Studio for tests: started here, or the one that SEGLAB_LABEL_STUDIO_URL names."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TOKEN = "0123456789abcdef" * 2 + "01234567"
_START = "from label_studio.server import main; main()"
Api = Callable[..., Any]


@contextlib.contextmanager
def running(python: str, folder: Path) -> Iterator[str]:
    """Start a server with a user of the token TOKEN and yield its address; its first start takes minutes."""
    url = f"http://127.0.0.1:{(port := _free_port())}"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env |= {"LABEL_STUDIO_BASE_DATA_DIR": str(folder), "COLLECT_ANALYTICS": "false"}
    env |= {"LATEST_VERSION_CHECK": "false", "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true"}
    account = ["--username", "a@b.co", "--password", "secret123", "--user-token", TOKEN]
    command = [python, "-c", _START, "start", "--no-browser", "--port", str(port), *account]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def asking(url: str) -> Api:
    """Return what asks a server: `ask(path, content)` gives its JSON."""

    def ask(path: str, content: Any = None, kind: str = "application/json") -> Any:
        body = content if isinstance(content, bytes | None) else json.dumps(content).encode()
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": kind}
        request = urllib.request.Request(f"{url}{path}", body, headers)  # noqa: S310 - ours
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return json.load(answer)

    return ask


def _free_port() -> int:
    """Return a port below those of clients: one that asks in vain could be given it, and meet itself."""
    for port in range(20000 + os.getpid() % 5000, 30000):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    ask, until = asking(url), time.monotonic() + 400
    while True:
        try:
            ask("/api/projects")
            return
        except (OSError, http.client.HTTPException) as error:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"Label Studio does not answer: {error}") from error
            time.sleep(2)
