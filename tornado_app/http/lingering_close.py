"""Closes connections so that the client can read the last response. Source: RFC 9112, section 9.6.

When a socket is closed while the client is sending, the kernel resets the connection, and the client loses the response
that it has not read. So the write side is closed first, and incoming data is discarded for a while.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

SECONDS = 5.0
"""Maximum time for which incoming data is discarded."""

BYTES = 16 * 1024 * 1024
"""Maximum amount of incoming data that is discarded."""

_CHUNK = 64 * 1024


class LingeringCloser:
    """Connections whose write side is closed, and whose clients may still be sending."""

    def __init__(self, before_close: Callable[[socket.socket], None] = lambda kept: None) -> None:
        self._before_close = before_close
        self._open: dict[socket.socket, asyncio.TimerHandle] = {}
        self._left: dict[socket.socket, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def take_over(self, closing: socket.socket) -> None:
        """Keep the connection half open after this socket is closed, which must follow."""
        try:
            closing.shutdown(socket.SHUT_WR)
            kept = socket.socket(fileno=socket.dup(closing.fileno()))
        except OSError:
            return  # the client has closed the connection
        kept.settimeout(0)
        loop = asyncio.get_running_loop()
        self._open[kept] = loop.call_later(SECONDS, self._release, kept)
        self._left[kept] = BYTES
        loop.add_reader(kept, self._discard, kept)

    def close(self) -> None:
        """Close all connections."""
        for kept in list(self._open):
            self._release(kept)

    def _discard(self, kept: socket.socket) -> None:
        try:
            size = len(kept.recv(_CHUNK))
        except BlockingIOError:
            return
        except OSError:
            size = 0
        self._left[kept] -= size
        if size == 0 or self._left[kept] <= 0:
            self._release(kept)

    def _release(self, kept: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(kept)
        self._open.pop(kept).cancel()
        del self._left[kept]
        self._before_close(kept)
        kept.close()
