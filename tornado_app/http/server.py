"""Tornado's HTTP server, made to answer in the API's own shape where Tornado answers bare or hangs up.

With fast_connection.py and http/direct_write.py this is what relies on Tornado's internals: that a malformed request is
answered by the literal `_BARE_400`, and that headers past `max_header_size` close the stream with
UnsatisfiableReadError. Tests hold both against the pinned version; should they cease to be so, clients get Tornado's
own answer again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from http.client import responses as PHRASES  # noqa: N812  # a constant table under a lower-case name
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.iostream import IOStream, UnsatisfiableReadError

from tornado_app.core.errors import LeaderboardError
from tornado_app.http import errors, refusal_log
from tornado_app.http.connection_limit import ConnectionLimiter
from tornado_app.http.fast_connection import FastPathConnection, RequestInterceptor
from tornado_app.http.idle_timeout import IdleTimeouts
from tornado_app.http.lingering_close import LingeringCloser
from tornado_app.http.send_timeout import SEND_BUFFER, SendTimeouts, reset
from tornado_app.runtime.event_loop import crowd

HARD_MAX_HEADERS = 64 * 1024
"""What Tornado reads of headers at all; the API's own, lower limit gets its answer in the dispatcher."""

_NO_LIMIT = 1 << 40
"""The dispatcher bounds bodies, and answers; Tornado's own limit would hang up."""

_BARE_400 = b"HTTP/1.1 400 Bad Request\r\n\r\n"
_PAST_HEADERS = f"within {HARD_MAX_HEADERS} bytes"


def serve(
    delegate: HTTPServerConnectionDelegate,
    *,
    idle_timeout: float = 75.0,
    body_timeout: float = 10.0,
    send_timeout: float = 30.0,
    ssl_context: ssl.SSLContext | None = None,
    interceptor: RequestInterceptor | None = None,
) -> HTTPServer:
    """An HTTP server for `delegate`, not yet listening. Timeouts are in seconds.

    `interceptor` is shown what clients send.
    """
    server = _Server(
        delegate,
        body_timeout=body_timeout,
        max_body_size=_NO_LIMIT,
        max_header_size=HARD_MAX_HEADERS,
        ssl_options=ssl_context,
    )
    server.interceptor = interceptor
    server.waiting = IdleTimeouts(idle_timeout)
    server.sending = SendTimeouts(send_timeout, server.waiting)
    server.lingering = LingeringCloser(server.sending.take_over)
    server.conn_params.header_timeout = None  # `IdleTimeouts` does that
    return server


def request_started(connection: object) -> None:
    """A request of this Tornado connection has begun: its header is here."""
    policy = _policy_of(connection)
    if policy is not None:
        policy.begun()


def final_response_sent(connection: object) -> None:
    """What is written to a Tornado connection now is the last, and comes while the client may still be sending."""
    policy = _policy_of(connection)
    if policy is not None:
        policy.final_response_sent = True


def upgraded(connection: object) -> None:
    """A Tornado connection is a WebSocket from now on, and bounds by itself what its client does not read."""
    policy = _policy_of(connection)
    if policy is not None:
        policy.leave_sending()


def _policy_of(connection: object) -> _ConnectionPolicy | None:
    found = getattr(getattr(connection, "stream", None), "policy", None)
    return found if isinstance(found, _ConnectionPolicy) else None


def abort(connection: object) -> None:
    """Close a Tornado connection at once, and give up what the client has not read."""
    stream = getattr(connection, "stream", None)
    if isinstance(stream, IOStream) and not stream.closed():
        reset(stream.socket)
        stream.close(exc_info=ConnectionAbortedError())


class _Server(HTTPServer):
    interceptor: RequestInterceptor | None
    waiting: IdleTimeouts
    sending: SendTimeouts
    lingering: LingeringCloser

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._limiter = ConnectionLimiter()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if not self._limiter.try_acquire(stream):
            stream.close()
            return
        peer = str(address[0]) if address else ""
        fast_connection = (
            None if self.interceptor is None else FastPathConnection(stream, peer, self.interceptor, self.waiting)
        )
        stream.policy = _ConnectionPolicy(stream, peer, self, fast_connection)  # type: ignore[attr-defined]
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.sending.start()
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        policy = _policy_of(request_conn)
        if policy is not None:
            policy.on_idle()
        return super().start_request(server_conn, request_conn)

    async def close_all_connections(self) -> None:
        await super().close_all_connections()
        self.lingering.close()
        self.waiting.close()
        self.sending.close()


class _ConnectionPolicy:
    """How one stream speaks and parts: in the API's error shape, and so that the last answer arrives.

    `final_response_sent`: what was or is about to be said is not to be followed by an answer of ours.
    """

    def __init__(
        self, stream: IOStream, peer: str, server: _Server, fast_connection: FastPathConnection | None
    ) -> None:
        self.final_response_sent = False
        self._stream = stream
        self._peer = peer
        self._lingering = server.lingering
        self._idle_timeouts = server.waiting
        self._sending = server.sending
        self._watched = True
        self._fast_connection = fast_connection
        self._write = stream.write
        self._close = stream.close
        stream.write = self.write  # type: ignore[method-assign]
        stream.close = self.close  # type: ignore[method-assign]
        if fast_connection is not None:
            stream.read_from_fd = fast_connection.read  # type: ignore[method-assign]
        crowd.add(stream.socket.fileno())

    def on_idle(self) -> None:
        """All that Tornado was asked is answered."""
        self._idle_timeouts.track(self._stream)
        if self._fast_connection is not None:
            self._fast_connection.on_idle()

    def begun(self) -> None:
        """Tornado has the header of a request."""
        self._idle_timeouts.untrack(self._stream)

    def leave_sending(self) -> None:
        """What is written from now on is not watched."""
        self._watched = False

    def write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        """What Tornado writes, but its bare refusal in our words, and only where nothing was said before."""
        if data != _BARE_400:
            written = self._write(data)
            if self._watched and self._stream.writing():
                self._sending.watch(self._stream)
            return written
        said, self.final_response_sent = self.final_response_sent, True
        return self._write(b"" if said else self._refusal(_MALFORMED))

    def close(self, exc_info: Any = False) -> None:
        """Close, after an answer where one is due; where the client may still be sending, so that it arrives."""
        if not self._stream.closed():
            crowd.discard(self._stream.socket.fileno())
            self._idle_timeouts.untrack(self._stream)
            refused = isinstance(exc_info, UnsatisfiableReadError)
            if refused and not self.final_response_sent:
                self.final_response_sent = True
                with contextlib.suppress(OSError):  # the client may be gone already, and nothing is owed to it then
                    self._stream.socket.send(
                        self._refusal(_OVERSIZED if _PAST_HEADERS in str(exc_info) else _MALFORMED)
                    )
            if refused or (self.final_response_sent and not exc_info):
                self._lingering.take_over(self._stream.socket)
            elif not exc_info:
                self._sending.take_over(self._stream.socket)
        self._close(exc_info)
        if self._stream.error is not None:
            asyncio.get_running_loop().call_soon(_forget_origin, self._stream.error)
        for name in ("write", "close", "read_from_fd", "policy"):
            # A closed stream that holds itself only the collector would free.
            self._stream.__dict__.pop(name, None)

    def _refusal(self, error: LeaderboardError) -> bytes:
        """The whole answer that refuses what cannot be read as a request; it is logged."""
        refusal_log.request_refused(errors.status(error), error, remote=self._peer)
        return _raw(error)


def _forget_origin(error: BaseException) -> None:
    """It leads to the frames that used the stream, and so to the stream that holds it, which only the collector frees.

    So does a refusal that was being written when it was raised. Not before the frames have ended, as what they raise
    again gets another traceback.
    """
    error.__traceback__ = error.__context__ = None


def _raw(error: LeaderboardError) -> bytes:
    response = errors.response(error)
    head = [f"HTTP/1.1 {response.status} {PHRASES[response.status]}"]
    head += [f"{name}: {value}" for name, value in response.headers]
    head += ["Connection: close", f"Content-Length: {len(response.body)}"]
    return "\r\n".join([*head, "", ""]).encode("ascii") + response.body


_MALFORMED = errors.BadRequest(
    reason="malformed_http", detail="not an HTTP/1.1 message; the line of tornado.general before this one says why"
)
_OVERSIZED = errors.HeadersTooLarge(detail=f"more than {HARD_MAX_HEADERS} bytes")
