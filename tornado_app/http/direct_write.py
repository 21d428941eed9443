"""Prebuilt frames on their way to one client, past Tornado's buffer where that is empty.

What `IOStream.write` does for a frame that the kernel takes at once costs more than the kernel's part of it: a buffer,
a future and a callback that nobody needs. So a frame goes to the socket directly; what the kernel does not take, and
what comes while something waits in the stream already, goes through the stream, in order.

Of Tornado's internals this relies on `IOStream.socket`, and on `IOStream._write_futures`: one and the same deque, which
is empty when nothing waits to be sent. Tests hold both against the pinned version. A stream without them, and one that
is more than a socket, as with TLS, is written to by its public `write` alone.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any

from tornado.iostream import IOStream, StreamClosedError


class DirectWriter:
    """The way to one client."""

    __slots__ = ("_idle_timeouts", "_socket", "_stream")

    def __init__(self, stream: IOStream) -> None:
        self._stream = stream
        self._idle_timeouts: deque[Any] | tuple[str] = getattr(stream, "_write_futures", _ALWAYS)
        self._socket: socket.socket = stream.socket
        plain = type(stream) is IOStream and type(self._socket) is socket.socket
        if not plain or type(self._idle_timeouts) is not deque:
            self._idle_timeouts = _ALWAYS

    def send(self, frame: bytes) -> asyncio.Future[None] | None:
        """Hand over a frame; None when it went out whole or never will, else what ends when it has."""
        left: bytes | memoryview = frame
        if not self._idle_timeouts:
            try:
                sent = self._socket.send(frame)
            except OSError:  # no room, or the end of the connection, which `write` below deals with
                sent = 0
            if sent == len(frame):
                return None
            left = memoryview(frame)[sent:]
        try:
            sending: asyncio.Future[None] = self._stream.write(left)
        except StreamClosedError:
            return None
        return None if sending.done() else sending


_ALWAYS = ("something may wait in the stream",)
