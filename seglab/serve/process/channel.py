"""Lines of JSON between the supervisor and a worker, over a pair of sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any


class Channel:
    """One end of it, inside an event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        """Take over one end of a pair."""
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end))

    def say(self, what: str, **more: Any) -> None:
        """Send a message; one that the other end can take no more is lost."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps({"say": what, **more}).encode() + b"\n")

    async def hear(self) -> dict[str, Any] | None:
        """Return the next message; None once the other process has ended."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        message: dict[str, Any] | None = json.loads(line) if line else None
        return message

    def close(self) -> None:
        """End it."""
        self._writer.close()
