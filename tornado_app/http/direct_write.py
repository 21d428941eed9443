"""Writes to a client's socket directly, instead of through Tornado's write buffer, while that buffer is empty.

For data that the kernel takes at once, `IOStream.write` costs more than the system call: a buffer, a future and a
callback that nothing uses. Data that the kernel does not take, and all that follows while something waits in the
stream, goes through the stream, in order. TLS always goes through the stream.
"""

from __future__ import annotations

import asyncio
import socket

from tornado.iostream import IOStream, StreamClosedError

from tornado_app.http import tornado_internals


class DirectWriter:
    """Sends prebuilt responses and frames on one stream."""

    __slots__ = ("_pending", "_socket", "_stream")

    def __init__(self, stream: IOStream) -> None:
        self._stream = stream
        self._pending = tornado_internals.pending_writes(stream)
        self._socket: socket.socket = stream.socket

    def send(self, data: bytes) -> asyncio.Future[None] | None:
        """Send `data`. None when it was sent whole or the connection is closed, else a future that ends with it."""
        rest: bytes | memoryview = data
        if not self._pending:
            try:
                sent = self._socket.send(data)
            except OSError:  # the kernel's buffer is full, or the connection has ended, which `write` reports below
                sent = 0
            if sent == len(data):
                return None
            rest = memoryview(data)[sent:]
        try:
            sending: asyncio.Future[None] = self._stream.write(rest)
        except StreamClosedError:
            return None
        return None if sending.done() else sending
