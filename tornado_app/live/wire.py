"""Prebuilt frames on their way to one client, around Tornado's buffer where that is empty.

What `IOStream.write` does for a frame that the kernel takes at once costs more than the kernel's part of it: a buffer,
a future and a callback that nobody needs. So a frame goes to the socket directly; what the kernel does not take, and
what comes while something waits in the stream already, goes through the stream, in order.

This relies on what Tornado does not promise: that a plain IOStream holds nothing back while `writing()` is false, and
that its attribute `socket` is the one it writes to. Tests hold both against the pinned version. Every other stream, as
one with TLS, is written to by its public `write` alone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from tornado.iostream import IOStream, StreamClosedError


class Wire:
    """The way to one client. `send` returns None when a frame went out whole, else what ends when it has."""

    __slots__ = ("_direct", "_stream")

    def __init__(self, stream: IOStream) -> None:
        self._stream = stream
        self._direct = _direct(stream)

    def send(self, frame: bytes) -> asyncio.Future[None] | None:
        """Hand over a frame; nothing happens where the stream is closed."""
        stream = self._stream
        left: bytes | memoryview = frame
        if self._direct is not None and not stream.writing() and not stream.closed():
            try:
                sent = self._direct(frame)
            except OSError:  # there is no room, or an end of the connection that `write` below takes note of
                sent = 0
            if sent == len(frame):
                return None
            left = memoryview(frame)[sent:]
        try:
            sending: asyncio.Future[None] = stream.write(left)
        except StreamClosedError:
            return None
        return None if sending.done() and not sending.exception() else sending


def _direct(stream: IOStream) -> Callable[[bytes], int] | None:
    """What gives the kernel bytes without the stream; None where only the stream may."""
    if type(stream) is not IOStream or stream.closed():
        return None
    wire = getattr(stream, "socket", None)
    return wire.send if type(wire) is socket.socket else None
