"""Messages between processes over a socket: a length, then a pickle.

A reader takes what has come and never waits for the rest of a message, so a process that dies or
stalls in the middle of one holds nobody up.
"""

from __future__ import annotations

import pickle
import socket
import struct
import time
from multiprocessing.connection import wait
from typing import Any

_LENGTH = struct.Struct("!Q")
_CHUNK = 1 << 16


def send(sock: socket.socket, message: object, limit_s: float | None = None) -> None:
    """Send one message.

    Raises:
        OSError: The other side is gone, or did not take it within `limit_s`.
    """
    data = pickle.dumps(message)
    sock.settimeout(limit_s)
    sock.sendall(_LENGTH.pack(len(data)))
    sock.sendall(data)


class Inbox:
    """Reads messages from a socket.

    Args:
        sock: Connected; the other side sends with `send`.

    Attributes:
        is_open: False once the other side has closed it, or is gone.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.is_open = True
        self._bytes = bytearray()

    def ready(self) -> list[Any]:
        """Return the messages that are there in full, without waiting for more."""
        self.sock.setblocking(False)
        while self.is_open and self._read():
            pass
        messages = []
        while (data := self._next()) is not None:
            messages.append(pickle.loads(data))  # noqa: S301 - from a process of our own
        return messages

    def wait(self, limit_s: float | None = None) -> Any:
        """Return the next message.

        Raises:
            EOFError: The other side is gone.
            TimeoutError: It did not come within `limit_s`.
        """
        end = None if limit_s is None else time.monotonic() + limit_s
        while (data := self._next()) is None:
            if not self.is_open:
                raise EOFError("the other side closed its end")
            left = None if end is None else max(0.0, end - time.monotonic())
            # Not by the socket's own timeout: the other thread of a trial sends on it meanwhile.
            if not wait([self.sock], left):
                raise TimeoutError(f"no message within {limit_s:g} s")
            self._read()
        return pickle.loads(data)  # noqa: S301 - from a process of our own

    def _read(self) -> bool:
        """Take a piece; return whether there may be more."""
        try:
            piece = self.sock.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        self._bytes += piece
        self.is_open = bool(piece)
        return self.is_open

    def _next(self) -> bytes | None:
        if len(self._bytes) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._bytes)[0]
        if len(self._bytes) < end:
            return None
        data = bytes(self._bytes[_LENGTH.size : end])
        del self._bytes[:end]
        return data
