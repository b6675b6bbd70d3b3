"""A real `seglab serve`, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """One that runs; `log` reads what it said so far."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log
        self.url = f"http://127.0.0.1:{port}"
        # Each request on a connection of its own, so that all workers get some.
        self.http = httpx.Client(
            base_url=self.url, headers={"connection": "close"}, timeout=60, trust_env=False
        )

    def log(self) -> list[dict[str, Any]]:
        lines = self._log.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def metrics(self) -> dict[str, float]:
        lines = self.http.get("/metrics").text.splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def launch(folder: Path, *words: str, **environment: str) -> Server:
    port = free_port()
    log = folder / f"log-{port}"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "seglab.cli", "serve", f"port={port}", "threads=1", *words],
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **environment},
        )
    return Server(process, port, log)


@contextmanager
def server(folder: Path, *words: str, workers: int = 1, **environment: str) -> Iterator[Server]:
    found = launch(folder, f"workers={workers}", *words, **environment)
    try:

        def serves() -> bool:
            assert found.process.poll() is None, found._log.read_text(encoding="utf-8")
            return sum(one["message"] == "a worker serves" for one in found.log()) == workers

        wait_for(serves)
        yield found
    finally:
        if found.process.poll() is None:
            found.process.kill()
            found.process.wait()
