"""Closing so that the client gets to read the last answer. Source: RFC 9112, section 9.6.

A socket that is closed while the client still sends makes the kernel reset the connection, and the reset takes away the
answer that the client has not read yet. So the write side is closed first, and what arrives is thrown away for a while.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

SECONDS = 5.0
"""How long what the client sends is thrown away, at most."""

BYTES = 16 * 1024 * 1024
"""How much of it, at most."""

_CHUNK = 64 * 1024


class LingeringCloser:
    """The sockets whose clients may still be sending."""

    def __init__(self, before_close: Callable[[socket.socket], None] = lambda kept: None) -> None:
        self._before_close = before_close
        self._open: dict[socket.socket, asyncio.TimerHandle] = {}
        self._left: dict[socket.socket, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def take_over(self, closing: socket.socket) -> None:
        """Keep the connection half open beyond the `close` of this socket, which is about to come."""
        try:
            closing.shutdown(socket.SHUT_WR)
            kept = socket.socket(fileno=socket.dup(closing.fileno()))
        except OSError:
            return  # the client is gone already
        kept.settimeout(0)
        loop = asyncio.get_running_loop()
        self._open[kept] = loop.call_later(SECONDS, self._release, kept)
        self._left[kept] = BYTES
        loop.add_reader(kept, self._discard, kept)

    def close(self) -> None:
        """Let go of all."""
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
