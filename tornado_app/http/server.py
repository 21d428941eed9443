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
from tornado_app.http.connection_limit import Room
from tornado_app.http.fast_connection import Doorman, Visit
from tornado_app.http.idle_timeout import Idle
from tornado_app.http.lingering_close import Lingering
from tornado_app.http.send_timeout import SEND_BUFFER, Sending, reset
from tornado_app.runtime.event_loop import crowd

HARD_MAX_HEADERS = 64 * 1024
"""What Tornado reads of headers at all; the API's own, lower limit gets its answer in the gateway."""

_NO_LIMIT = 1 << 40
"""The gateway bounds bodies, and answers; Tornado's own limit would hang up."""

_BARE_400 = b"HTTP/1.1 400 Bad Request\r\n\r\n"
_PAST_HEADERS = f"within {HARD_MAX_HEADERS} bytes"


def serve(
    delegate: HTTPServerConnectionDelegate,
    *,
    idle_timeout: float = 75.0,
    body_timeout: float = 10.0,
    send_timeout: float = 30.0,
    ssl_context: ssl.SSLContext | None = None,
    doorman: Doorman | None = None,
) -> HTTPServer:
    """An HTTP server for `delegate`, not yet listening. Timeouts are in seconds.

    `doorman` is shown what clients send.
    """
    server = _Server(
        delegate,
        body_timeout=body_timeout,
        max_body_size=_NO_LIMIT,
        max_header_size=HARD_MAX_HEADERS,
        ssl_options=ssl_context,
    )
    server.doorman = doorman
    server.waiting = Idle(idle_timeout)
    server.sending = Sending(send_timeout, server.waiting)
    server.lingering = Lingering(server.sending.adopt)
    server.conn_params.header_timeout = None  # `Idle` does that
    return server


def received(connection: object) -> None:
    """A request of this Tornado connection has begun: its header is here."""
    manners = _manners(connection)
    if manners is not None:
        manners.begun()


def last_words(connection: object) -> None:
    """What is written to a Tornado connection now is the last, and comes while the client may still be sending."""
    manners = _manners(connection)
    if manners is not None:
        manners.last_words = True


def upgraded(connection: object) -> None:
    """A Tornado connection is a WebSocket from now on, and bounds by itself what its client does not read."""
    manners = _manners(connection)
    if manners is not None:
        manners.leave_sending()


def _manners(connection: object) -> _Manners | None:
    found = getattr(getattr(connection, "stream", None), "manners", None)
    return found if isinstance(found, _Manners) else None


def cut(connection: object) -> None:
    """Close a Tornado connection at once, and give up what the client has not read."""
    stream = getattr(connection, "stream", None)
    if isinstance(stream, IOStream) and not stream.closed():
        reset(stream.socket)
        stream.close(exc_info=ConnectionAbortedError())


class _Server(HTTPServer):
    doorman: Doorman | None
    waiting: Idle
    sending: Sending
    lingering: Lingering

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._room = Room()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if not self._room.admit(stream):
            stream.close()
            return
        peer = str(address[0]) if address else ""
        visit = None if self.doorman is None else Visit(stream, peer, self.doorman, self.waiting)
        stream.manners = _Manners(stream, peer, self, visit)  # type: ignore[attr-defined]
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.sending.start()
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        manners = _manners(request_conn)
        if manners is not None:
            manners.between_requests()
        return super().start_request(server_conn, request_conn)

    async def close_all_connections(self) -> None:
        await super().close_all_connections()
        self.lingering.close()
        self.waiting.close()
        self.sending.close()


class _Manners:
    """How one stream speaks and parts: in the API's error shape, and so that the last answer arrives.

    `last_words`: what was or is about to be said is not to be followed by an answer of ours.
    """

    def __init__(self, stream: IOStream, peer: str, server: _Server, visit: Visit | None) -> None:
        self.last_words = False
        self._stream = stream
        self._peer = peer
        self._lingering = server.lingering
        self._waiting = server.waiting
        self._sending = server.sending
        self._watched = True
        self._visit = visit
        self._write = stream.write
        self._close = stream.close
        stream.write = self.write  # type: ignore[method-assign]
        stream.close = self.close  # type: ignore[method-assign]
        if visit is not None:
            stream.read_from_fd = visit.read  # type: ignore[method-assign]
        crowd.add(stream.socket.fileno())

    def between_requests(self) -> None:
        """All that Tornado was asked is answered."""
        self._waiting.wait(self._stream)
        if self._visit is not None:
            self._visit.between_requests()

    def begun(self) -> None:
        """Tornado has the header of a request."""
        self._waiting.forget(self._stream)

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
        said, self.last_words = self.last_words, True
        return self._write(b"" if said else self._refusal(_MALFORMED))

    def close(self, exc_info: Any = False) -> None:
        """Close, after an answer where one is due; where the client may still be sending, so that it arrives."""
        if not self._stream.closed():
            crowd.discard(self._stream.socket.fileno())
            self._waiting.forget(self._stream)
            refused = isinstance(exc_info, UnsatisfiableReadError)
            if refused and not self.last_words:
                self.last_words = True
                with contextlib.suppress(OSError):  # the client may be gone already, and nothing is owed to it then
                    self._stream.socket.send(
                        self._refusal(_OVERSIZED if _PAST_HEADERS in str(exc_info) else _MALFORMED)
                    )
            if refused or (self.last_words and not exc_info):
                self._lingering.adopt(self._stream.socket)
            elif not exc_info:
                self._sending.adopt(self._stream.socket)
        self._close(exc_info)
        if self._stream.error is not None:
            asyncio.get_running_loop().call_soon(_forget_origin, self._stream.error)
        for name in ("write", "close", "read_from_fd", "manners"):
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
