"""Tornado's HTTP server, made to answer in the API's own shape where Tornado answers bare or hangs up.

This is the one module beside live/ that relies on Tornado's internals: that a malformed request is answered by the
literal `_BARE_400`, that headers past `max_header_size` close the stream with UnsatisfiableReadError, that what a
stream has read and not handed on is counted in `_read_buffer_size`, and that `_handle_events` is what it does when its
socket can be read. Tests hold all four against the pinned version; should one of the first three cease to be so,
clients get Tornado's own answer again, and no request is kept from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from http.client import responses as PHRASES  # noqa: N812  # a constant table under a lower-case name
from typing import Any, Protocol

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, UnsatisfiableReadError

from tornado_app.api import errors
from tornado_app.api.idle import Idle
from tornado_app.api.lingering import Lingering
from tornado_app.api.room import Room
from tornado_app.core.errors import LeaderboardError
from tornado_app.live.wire import Wire
from tornado_app.turns import crowd


class Doorman(Protocol):
    """Who serves some requests, before Tornado reads them."""

    def ask(self, data: bytes, visit: Visit, /) -> bool:
        """What a client sends after its last answer. True: `visit.answer` is called with the answer, now or later.

        Else Tornado is to read it.
        """


HARD_MAX_HEADERS = 64 * 1024
"""What Tornado reads of headers at all; the API's own, lower limit gets its answer in the gateway."""

_NO_LIMIT = 1 << 40
"""The gateway bounds bodies, and answers; Tornado's own limit would hang up."""

_RESET = struct.pack("ii", 1, 0)
_BARE_400 = b"HTTP/1.1 400 Bad Request\r\n\r\n"
_PAST_HEADERS = f"within {HARD_MAX_HEADERS} bytes"


def serve(
    delegate: HTTPServerConnectionDelegate,
    *,
    idle_timeout: float = 75.0,
    body_timeout: float = 10.0,
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


def _manners(connection: object) -> _Manners | None:
    found = getattr(getattr(connection, "stream", None), "manners", None)
    return found if isinstance(found, _Manners) else None


def cut(connection: object) -> None:
    """Close a Tornado connection at once, and give up what the client has not read."""
    stream = getattr(connection, "stream", None)
    if isinstance(stream, IOStream) and not stream.closed():
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        stream.close(exc_info=ConnectionAbortedError())


class _Server(HTTPServer):
    doorman: Doorman | None
    waiting: Idle

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._lingering = Lingering()
        self._room = Room()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if not self._room.admit(stream):
            stream.close()
            return
        peer = str(address[0]) if address else ""
        visit = None if self.doorman is None else Visit(stream, peer, self.doorman, self.waiting)
        stream.manners = _Manners(stream, self._lingering, self.waiting, visit)  # type: ignore[attr-defined]
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        manners = _manners(request_conn)
        if manners is not None:
            manners.between_requests()
        return super().start_request(server_conn, request_conn)

    async def close_all_connections(self) -> None:
        await super().close_all_connections()
        self._lingering.close()
        self.waiting.close()


class Visit:
    """One connection as the doorman sees it: what comes in on it, and the way for an answer. `peer`: its address.

    Tornado waits for a request all the time. Of those that the doorman takes it knows nothing.
    """

    __slots__ = ("_between", "_doorman", "_held", "_owed", "_read", "_stream", "_waiting", "peer")

    def __init__(self, stream: IOStream, peer: str, doorman: Doorman, waiting: Idle) -> None:
        self.peer = peer
        self._stream = stream
        self._doorman = doorman
        self._waiting = waiting
        self._between = False
        self._owed = False
        self._held = b""
        self._read = stream.read_from_fd

    def between_requests(self) -> None:
        """All that Tornado was asked is answered, and what comes next is a request, unless part of one is here."""
        self._between = getattr(self._stream, "_read_buffer_size", 1) == 0
        self._stream.set_nodelay(True)  # after a request of its own Tornado lets the kernel delay what we send

    def read(self, buf: bytearray | memoryview) -> int | None:
        """What the client sends, but for what the doorman takes."""
        size: int | None
        if self._held and not self._owed:
            size = len(self._held)
            buf[:size], self._held = self._held, b""
        else:
            size = self._read(buf)
        if not size or not (self._between or self._owed):
            return size
        data = bytes(memoryview(buf)[:size])
        if self._owed:
            self._hold(data)
            return None
        if not self._stream.writing():
            self._owed = True
            if self._doorman.ask(data, self):
                if self._owed:
                    self._waiting.forget(self._stream)
                return None
            self._owed = False
        self._between = False
        return size

    def answer(self, data: bytes) -> None:
        """Send an answer; the next request may come."""
        self._owed = False
        if self._stream.closed():
            return
        sending = Wire(self._stream).send(data)
        if sending is None:
            self._wait()
        else:
            self._waiting.forget(self._stream)
            sending.add_done_callback(self._wait)
        if self._held:
            asyncio.get_running_loop().call_soon(self._resume)

    def give_up(self) -> None:
        """There is no answer."""
        self._stream.close()

    def _wait(self, sent: asyncio.Future[None] | None = None) -> None:
        if not self._stream.closed() and not self._owed:
            self._waiting.wait(self._stream)

    def _hold(self, data: bytes) -> None:
        """Keep what comes before its turn, and read no further until then. No more than one read comes to be kept."""
        self._held += data
        self._stream.io_loop.update_handler(self._stream.fileno(), IOLoop.ERROR)

    def _resume(self) -> None:
        stream = self._stream
        if not stream.closed():
            events = IOLoop.READ | IOLoop.ERROR | (IOLoop.WRITE if stream.writing() else 0)
            stream.io_loop.update_handler(stream.fileno(), events)
            stream._handle_events(stream.fileno(), IOLoop.READ)


class _Manners:
    """How one stream speaks and parts: in the API's error shape, and so that the last answer arrives.

    `last_words`: what was or is about to be said is not to be followed by an answer of ours.
    """

    def __init__(self, stream: IOStream, lingering: Lingering, waiting: Idle, visit: Visit | None) -> None:
        self.last_words = False
        self._stream = stream
        self._lingering = lingering
        self._waiting = waiting
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

    def write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        """What Tornado writes, but its bare refusal in our words, and only where nothing was said before."""
        if data != _BARE_400:
            return self._write(data)
        said, self.last_words = self.last_words, True
        return self._write(b"" if said else _BAD_REQUEST)

    def close(self, exc_info: Any = False) -> None:
        """Close, after an answer where one is due; where the client may still be sending, so that it arrives."""
        if not self._stream.closed():
            crowd.discard(self._stream.socket.fileno())
            self._waiting.forget(self._stream)
            refused = isinstance(exc_info, UnsatisfiableReadError)
            if refused and not self.last_words:
                self.last_words = True
                with contextlib.suppress(OSError):  # the client may be gone already, and nothing is owed to it then
                    self._stream.socket.send(_HEADERS_TOO_LARGE if _PAST_HEADERS in str(exc_info) else _BAD_REQUEST)
            if refused or (self.last_words and not exc_info):
                self._lingering.adopt(self._stream.socket)
        self._close(exc_info)
        if self._stream.error is not None:
            asyncio.get_running_loop().call_soon(_forget_traceback, self._stream.error)
        for name in ("write", "close", "read_from_fd", "manners"):
            # A closed stream that holds itself only the collector would free.
            self._stream.__dict__.pop(name, None)


def _forget_traceback(error: BaseException) -> None:
    """It leads to the frames that read the stream, and so to the stream that holds it, which only the collector frees.

    Not before the frames have ended, as what they raise again gets another.
    """
    error.__traceback__ = None


def _raw(error: LeaderboardError) -> bytes:
    response = errors.response(error)
    head = [f"HTTP/1.1 {response.status} {PHRASES[response.status]}"]
    head += [f"{name}: {value}" for name, value in response.headers]
    head += ["Connection: close", f"Content-Length: {len(response.body)}"]
    return "\r\n".join([*head, "", ""]).encode("ascii") + response.body


_BAD_REQUEST = _raw(errors.BadRequest())
_HEADERS_TOO_LARGE = _raw(errors.HeadersTooLarge())
