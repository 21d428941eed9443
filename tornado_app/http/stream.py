"""One client's connection: a Tornado stream that serves the fast path and answers before it closes.

Tornado's HTTP server waits for the next request all the time. What arrives between two requests is first offered to an
interceptor (fast_path.py); Tornado never sees the requests that the interceptor handles.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable
from typing import Any, NamedTuple, Protocol

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError, UnsatisfiableReadError

from tornado_app.core.errors import LeaderboardError
from tornado_app.http import errors, request_log, tornado_internals
from tornado_app.http.connection_timeouts import SEND_BUFFER, IdleTimeouts, LingeringCloser, SendTimeouts, reset
from tornado_app.http.messages import encode_head
from tornado_app.runtime.event_loop import client_fds

MAX_HEAD = 64 * 1024
"""Bytes of a request's head that Tornado reads. The API's own, lower limit is in request_checks.py."""

_MALFORMED = errors.BadRequest(
    reason="malformed_http", detail="not an HTTP/1.1 message; the line of tornado.general before this one says why"
)
_HEAD_TOO_LARGE = errors.HeadersTooLarge(detail=f"more than {MAX_HEAD} bytes")


class RequestInterceptor(Protocol):
    """Handles some requests before Tornado reads them."""

    def try_handle(self, data: bytes, stream: HttpStream, /) -> bool:
        """Handle what a client sent after its last response, if this is possible.

        True: `stream.respond` or `stream.abort` is called, now or later. False: Tornado reads the data.
        """


class StreamServices(NamedTuple):
    """The settings and parts that all streams of a server share."""

    idle_timeouts: IdleTimeouts
    send_timeouts: SendTimeouts
    lingering_closer: LingeringCloser
    interceptor: RequestInterceptor | None


class HttpStream(IOStream):
    """The stream of one client at address `peer`.

    `final_response_sent`: the last response was or is being written while the client may still be sending. Nothing may
    follow it, and the connection is closed so that the client can read it.
    """

    __slots__ = (
        "_at_request_boundary", "_buffered", "_reads_head", "_response_pending", "_services", "_watches_writes",
        "final_response_sent", "peer",
    )  # fmt: skip  # in slots, as the attributes of the base class leave no room in a shared-key dict

    def __init__(self, connection: socket.socket, peer: str, services: StreamServices) -> None:
        client_fds.add(connection.fileno())  # before the base class registers it with the event loop
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.peer = peer
        self.final_response_sent = False
        self._services = services
        self._watches_writes = True
        self._reads_head = False
        self._at_request_boundary = False
        self._response_pending = False
        self._buffered = b""
        super().__init__(connection)

    # -- the requests that Tornado reads -----------------------------------------------------------

    def on_idle(self) -> None:
        """Tornado has answered all requests that it read, and waits for the next one."""
        services = self._services
        services.idle_timeouts.track(self)
        if services.interceptor is not None:
            # Unread bytes are the beginning of a request, and what arrives next is not.
            self._at_request_boundary = not tornado_internals.has_unread_bytes(self)
            self.set_nodelay(True)  # Tornado switches it off after each response

    def on_request(self) -> None:
        """Tornado has read the head of a request."""
        self._services.idle_timeouts.untrack(self)

    def on_upgrade(self) -> None:
        """The connection is a WebSocket, which has its own limits for what its client does not read."""
        self.final_response_sent = True
        self._watches_writes = False

    # -- the requests that the interceptor handles -------------------------------------------------

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """As in the base class, without what the interceptor handles."""
        size: int | None
        if self._buffered and not self._response_pending:
            size = len(self._buffered)
            buf[:size], self._buffered = self._buffered, b""
        else:
            size = super().read_from_fd(buf)
        if not size or not (self._at_request_boundary or self._response_pending):
            return size
        data = bytes(memoryview(buf)[:size])
        if self._response_pending:
            self._pause_reading(data)
            return None
        if self._intercepted(data):
            return None
        self._at_request_boundary = False
        return size

    def _intercepted(self, data: bytes) -> bool:
        services = self._services
        if services.interceptor is None or self.writing():
            return False
        self._response_pending = True
        if services.interceptor.try_handle(data, self):
            if self._response_pending:
                services.idle_timeouts.untrack(self)
            return True
        self._response_pending = False
        return False

    def respond(self, response: bytes) -> None:
        """Send the response to an intercepted request; the next request may follow."""
        self._response_pending = False
        if self.closed():
            return
        sending = DirectWriter(self).send(response)
        if sending is None:
            self._track_if_idle()
        else:
            self._services.idle_timeouts.untrack(self)
            sending.add_done_callback(self._track_if_idle)
        if self._buffered:
            asyncio.get_running_loop().call_soon(self._resume_reading)

    def _track_if_idle(self, sent: asyncio.Future[None] | None = None) -> None:
        if not self.closed() and not self._response_pending:
            self._services.idle_timeouts.track(self)

    def _pause_reading(self, data: bytes) -> None:
        """Keep data that arrived before the response to an earlier request: one read at most, and no more after it."""
        self._buffered += data
        self.io_loop.update_handler(self.fileno(), IOLoop.ERROR)

    def _resume_reading(self) -> None:
        if not self.closed():
            events = IOLoop.READ | IOLoop.ERROR | (IOLoop.WRITE if self.writing() else 0)
            self.io_loop.update_handler(self.fileno(), events)
            tornado_internals.handle_readable(self)

    # -- errors and the end ------------------------------------------------------------------------

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """As in the base class. Tornado reads the head of a request with it, and nothing else."""
        self._reads_head = True
        return super().read_until_regex(regex, max_bytes)

    def read_until(self, delimiter: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """As in the base class. Tornado reads the lines of a chunked body with it."""
        self._reads_head = False
        return super().read_until(delimiter, max_bytes)

    def write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        """As in the base class, but Tornado's bare 400 becomes an error response, unless one was sent before."""
        if data == tornado_internals.BARE_BAD_REQUEST:
            sent, self.final_response_sent = self.final_response_sent, True
            return super().write(b"" if sent else self._error_response(_MALFORMED))
        written: asyncio.Future[None] = super().write(data)
        if self._watches_writes and self.writing():
            self._services.send_timeouts.watch(self)
        return written

    def close(self, exc_info: Any = False) -> None:
        """As in the base class, after an error response if one is due, and so that the client can read it."""
        if not self.closed():
            self._before_close(exc_info)
        super().close(exc_info)
        if self.error is not None:
            asyncio.get_running_loop().call_soon(_drop_traceback, self.error)

    def _before_close(self, exc_info: Any) -> None:
        services = self._services
        client_fds.discard(self.socket.fileno())
        services.idle_timeouts.untrack(self)
        too_large = isinstance(exc_info, UnsatisfiableReadError)
        if too_large and not self.final_response_sent:
            self.final_response_sent = True
            with contextlib.suppress(OSError):  # the client may have closed the connection
                self.socket.send(self._error_response(_HEAD_TOO_LARGE if self._reads_head else _MALFORMED))
        if too_large or (self.final_response_sent and not exc_info):
            services.lingering_closer.take_over(self.socket)
        elif not exc_info:
            services.send_timeouts.take_over(self.socket)

    def abort(self) -> None:
        """Close at once, and drop what the client has not read."""
        if not self.closed():
            with contextlib.suppress(OSError):  # the connection may have ended
                reset(self.socket)
            self.close(exc_info=ConnectionAbortedError())

    def _error_response(self, error: LeaderboardError) -> bytes:
        """The bytes of the response to what is not a request; it is logged."""
        request_log.request_refused(errors.status(error), error, remote=self.peer)
        response = errors.response(error)
        headers = [*response.headers, ("Connection", "close"), ("Content-Length", str(len(response.body)))]
        return encode_head(response.status, headers) + response.body


class TlsHttpStream(HttpStream, SSLIOStream):
    """The same over TLS."""


def stream_of(connection: object) -> HttpStream | None:
    """The stream of an HTTP or WebSocket connection of Tornado; None where it is closed or of another kind."""
    stream = tornado_internals.stream_of(connection)
    return stream if isinstance(stream, HttpStream) else None


def _drop_traceback(error: BaseException) -> None:
    """Break the cycle of a closed stream's error and the frames in its traceback, which use the stream.

    It is called after these frames have ended, as one that raises the error again adds another traceback.
    """
    error.__traceback__ = error.__context__ = None


class DirectWriter:
    """Sends prebuilt responses and frames to a client's socket directly, while the stream's write buffer is empty.

    For data that the kernel takes at once, `IOStream.write` costs more than the system call: a buffer, a future and a
    callback that nothing uses. Data that the kernel does not take, and all that follows while something waits in the
    stream, goes through the stream, in order. TLS always goes through the stream.
    """

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
