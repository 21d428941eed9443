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
import logging
import socket
from collections import deque
from typing import Any

from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketProtocol, WebSocketProtocol13

log = logging.getLogger("leaderboard.sockets")


class Wire:
    """The way to one client."""

    __slots__ = ("_socket", "_stream", "_waiting")

    def __init__(self, stream: IOStream) -> None:
        self._stream = stream
        self._waiting: deque[Any] | tuple[str] = getattr(stream, "_write_futures", _ALWAYS)
        self._socket: socket.socket = stream.socket
        plain = type(stream) is IOStream and type(self._socket) is socket.socket
        if not plain or type(self._waiting) is not deque:
            self._waiting = _ALWAYS

    def send(self, frame: bytes) -> asyncio.Future[None] | None:
        """Hand over a frame; None when it went out whole or never will, else what ends when it has."""
        left: bytes | memoryview = frame
        if not self._waiting:
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


TOO_BIG = 1009
"""The close code for a message that is too large. Source: RFC 6455, section 7.4.1."""

_ALWAYS = ("something may wait in the stream",)


def lean(protocol: WebSocketProtocol | None) -> WebSocketProtocol | None:
    """The same protocol in less memory, where it is the one that is known here."""
    if type(protocol) is not WebSocketProtocol13:
        return protocol
    return _LeanProtocol(protocol.handler, protocol.mask_outgoing, protocol.params)


class _LeanProtocol(WebSocketProtocol13):
    """Tornado's, which keeps nothing of the handshake while it waits for what the client says.

    Tornado reads frames at the end of the coroutines that answered the handshake, and so keeps them all, and what they
    hold. Here they end, and a task of its own reads. Should Tornado no longer call `_receive_frame_loop`, it goes on in
    its own way.
    """

    async def _receive_frame_loop(self) -> None:
        task = asyncio.create_task(self._read())
        _reading.add(task)  # one attribute more would make the instance's dict five times as large
        task.add_done_callback(_reading.discard)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """As Tornado's, but a message that is too large is refused with the limit: a token may be the cause."""
        if code == TOO_BIG:
            reason = f"a message may have {self.params.max_message_size} bytes"
        super().close(code, reason)

    async def _read(self) -> None:
        try:
            await super()._receive_frame_loop()
        except ValueError:  # such as a close frame whose reason is no UTF-8
            log.debug("a client's frame was malformed", exc_info=True)
        finally:
            self._abort()


_reading: set[asyncio.Task[None]] = set()
