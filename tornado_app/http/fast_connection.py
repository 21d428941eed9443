"""A connection between two requests of Tornado's: what comes in on it is shown to a interceptor first.

Of Tornado's internals this relies on two: what a stream has read and not handed on is counted in `_read_buffer_size`,
without which nothing is kept from Tornado, and `_handle_events` is what it does when its socket can be read. Tests hold
both against the pinned version.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from tornado_app.http.direct_write import DirectWriter
from tornado_app.http.idle_timeout import IdleTimeouts


class RequestInterceptor(Protocol):
    """Who serves some requests, before Tornado reads them."""

    def try_handle(self, data: bytes, connection: FastPathConnection, /) -> bool:
        """What a client sends after its last answer. True: `connection.answer` is called with the answer, now or later.

        Else Tornado is to read it.
        """


class FastPathConnection:
    """One connection as the interceptor sees it: what comes in on it, and the way for an answer. `peer`: its address.

    Tornado waits for a request all the time. Of those that the interceptor takes it knows nothing.
    """

    __slots__ = (
        "_at_request_boundary",
        "_buffered",
        "_idle_timeouts",
        "_interceptor",
        "_read",
        "_response_pending",
        "_stream",
        "peer",
    )

    def __init__(self, stream: IOStream, peer: str, interceptor: RequestInterceptor, waiting: IdleTimeouts) -> None:
        self.peer = peer
        self._stream = stream
        self._interceptor = interceptor
        self._idle_timeouts = waiting
        self._at_request_boundary = False
        self._response_pending = False
        self._buffered = b""
        self._read = stream.read_from_fd

    def on_idle(self) -> None:
        """All that Tornado was asked is answered, and what comes next is a request, unless part of one is here."""
        self._at_request_boundary = getattr(self._stream, "_read_buffer_size", 1) == 0
        self._stream.set_nodelay(True)  # after a request of its own Tornado lets the kernel delay what we send

    def read(self, buf: bytearray | memoryview) -> int | None:
        """What the client sends, but for what the interceptor takes."""
        size: int | None
        if self._buffered and not self._response_pending:
            size = len(self._buffered)
            buf[:size], self._buffered = self._buffered, b""
        else:
            size = self._read(buf)
        if not size or not (self._at_request_boundary or self._response_pending):
            return size
        data = bytes(memoryview(buf)[:size])
        if self._response_pending:
            self._buffer(data)
            return None
        if not self._stream.writing():
            self._response_pending = True
            if self._interceptor.try_handle(data, self):
                if self._response_pending:
                    self._idle_timeouts.untrack(self._stream)
                return None
            self._response_pending = False
        self._at_request_boundary = False
        return size

    def answer(self, data: bytes) -> None:
        """Send an answer; the next request may come."""
        self._response_pending = False
        if self._stream.closed():
            return
        sending = DirectWriter(self._stream).send(data)
        if sending is None:
            self._wait()
        else:
            self._idle_timeouts.untrack(self._stream)
            sending.add_done_callback(self._wait)
        if self._buffered:
            asyncio.get_running_loop().call_soon(self._resume)

    def abort(self) -> None:
        """There is no answer."""
        self._stream.close()

    def _wait(self, sent: asyncio.Future[None] | None = None) -> None:
        if not self._stream.closed() and not self._response_pending:
            self._idle_timeouts.track(self._stream)

    def _buffer(self, data: bytes) -> None:
        """Keep what comes before its turn, and read no further until then. No more than one read comes to be kept."""
        self._buffered += data
        self._stream.io_loop.update_handler(self._stream.fileno(), IOLoop.ERROR)

    def _resume(self) -> None:
        stream = self._stream
        if not stream.closed():
            events = IOLoop.READ | IOLoop.ERROR | (IOLoop.WRITE if stream.writing() else 0)
            stream.io_loop.update_handler(stream.fileno(), events)
            stream._handle_events(stream.fileno(), IOLoop.READ)
