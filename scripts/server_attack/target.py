"""The server that is attacked, in processes of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

_PIECE = 1 << 16


class Target:
    """A server that is attacked, started here.

    Args:
        bundle: What it serves.
        words: Further options of `seglab serve`.
    """

    def __init__(self, bundle: Path, words: list[str]) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "seglab.cli", "serve", f"bundle={bundle}"]
        self.process = subprocess.Popen(
            [*command, f"port={self.port}", "log_level=error", *words],
            stdout=subprocess.DEVNULL,
            env=os.environ,
        )
        self._workers: list[psutil.Process] = []
        end = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"{self.url}/readyz").raise_for_status()
                return
            except httpx.HTTPError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit("the server did not start") from None
                time.sleep(0.2)

    def memory(self) -> int:
        """Return the resident bytes of all its processes."""
        try:
            self._workers = self._workers or psutil.Process(self.process.pid).children()
            return sum(one.memory_info().rss for one in self._workers)
        except psutil.NoSuchProcess:
            self._workers = []
            return 0

    def tell(self, content: bytes, is_whole: bool = True) -> int:
        """Send bytes on a connection of their own; return the status, 0 where it was only closed.

        Args:
            content: Is sent as it stands.
            is_whole: Whether it is a request; after what is none, the sending side is closed.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=40) as one:
            try:
                one.sendall(content)
                if not is_whole:
                    one.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused before all was sent; the answer may be there
            answer = b""
            try:
                while len(answer) < _PIECE and (piece := one.recv(_PIECE)):
                    answer += piece
            except (ConnectionResetError, BrokenPipeError):
                pass
        words = answer[:30].split(b" ")
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
