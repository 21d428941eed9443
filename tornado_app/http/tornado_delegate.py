"""Serves the requests that Tornado's HTTP server parses, and hands WebSocket handshakes to a `tornado.web.Application`.

It implements Tornado's public `HTTPMessageDelegate` instead of `RequestHandler`: this takes half the CPU time
(docs/performance.md), and every error gets a response in the API's own shape.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from http.client import responses as PHRASES  # noqa: N812  # a constant table under a lower-case name
from typing import Any

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from tornado_app.core.errors import LeaderboardError, ShuttingDown
from tornado_app.http import errors, request_checks
from tornado_app.http.dispatcher import Dispatcher, RequestCycle
from tornado_app.http.errors import OVER_HTTP_1_0, HostNotAllowed, UpgradeRequired
from tornado_app.http.messages import Request, Response
from tornado_app.http.stream import stream_of

log = logging.getLogger("leaderboard.http")

MAX_DRAIN = 1024 * 1024
"""Bytes of an oversized body that are read and discarded, so that the client can read the error response."""


class Delegate(HTTPServerConnectionDelegate):
    """Hands requests to `dispatcher`, and WebSocket handshakes to `sockets`."""

    def __init__(self, dispatcher: Dispatcher, sockets: HTTPServerConnectionDelegate | None = None) -> None:
        self._dispatcher = dispatcher
        self._sockets = sockets

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Called by Tornado for each request."""
        return _RequestReader(self._dispatcher, self._sockets, server_conn, request_conn)


class _RequestReader(HTTPMessageDelegate):
    """Reads one request."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        sockets: HTTPServerConnectionDelegate | None,
        server_conn: object,
        connection: HTTPConnection,
    ) -> None:
        self._dispatcher = dispatcher
        self._sockets = sockets
        self._server_conn = server_conn
        self._connection: Any = connection
        self._cycle: RequestCycle | None = None
        self._inner: HTTPMessageDelegate | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._refusal: LeaderboardError | None = None
        self._answered = False
        self._early = False
        self._gone = False

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> Awaitable[None] | None:
        """Check the head of the request, and choose who serves it, before a body is read."""
        began = time.perf_counter()  # not before: a connection may have been idle for long
        stream = stream_of(self._connection)
        if stream is not None:
            stream.on_request()
        line: RequestStartLine = start_line
        dispatcher = self._dispatcher
        length = request_checks.content_length(headers)
        self._refusal = request_checks.check(line, headers, length)
        request = Request(line.method, request_checks.origin_form(line.path), headers)
        dispatcher.begin(request, self._connection.context.remote_ip)
        handshake = self._sockets is not None and request_checks.is_handshake(line, headers)
        if self._refusal is None:
            self._refusal = self._refused(line, headers, handshake=handshake)
        if handshake and self._sockets is not None and self._refusal is None:
            self._inner = self._sockets.start_request(self._server_conn, self._connection)
            return self._inner.headers_received(start_line, headers)
        self._cycle = RequestCycle(dispatcher, request, began, self._send)
        if self._refusal is not None and (length > MAX_DRAIN or "Expect" in headers):
            self._refuse_early(self._refusal)
        return None

    def _refused(self, line: RequestStartLine, headers: HTTPHeaders, *, handshake: bool) -> LeaderboardError | None:
        """The error that refuses the request before it is routed. For a handshake, the dispatcher makes no checks."""
        named = request_checks.authority(line.path)
        try:
            if handshake or named is not None:
                self._dispatcher.check_host(headers.get("Host") if named is None else named)
        except HostNotAllowed as refusal:
            return refusal
        if handshake and line.version == "HTTP/1.0":
            return UpgradeRequired(OVER_HTTP_1_0, reason="http_1_0", detail="the handshake came over HTTP/1.0")
        return ShuttingDown() if handshake and self._dispatcher.draining else None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Collect the body up to its maximum size."""
        if self._inner is not None:
            return self._inner.data_received(chunk)
        self._size += len(chunk)
        if self._size > request_checks.MAX_BODY:
            self._chunks.clear()
            self._refusal = self._refusal or request_checks.body_too_large(self._size)
            if self._size > MAX_DRAIN and not self._answered:
                self._refuse_early(self._refusal)
        else:
            self._chunks.append(chunk)
        return None

    def finish(self) -> None:
        """Answer the request, which is complete."""
        if self._inner is not None:
            self._inner.finish()
            return
        cycle = self._cycle
        if cycle is None:
            return
        cycle.request.body = b"".join(self._chunks)
        if self._refusal is not None:
            cycle.answer(errors.response(self._refusal))
        else:
            cycle.run()

    def on_connection_close(self) -> None:
        """The client has closed the connection. Work in progress goes on, and its response is dropped."""
        self._gone = True
        self._cycle = None
        if self._inner is not None:
            self._inner.on_connection_close()

    def _refuse_early(self, refusal: LeaderboardError) -> None:
        """Answer before the request was read completely, and then close the connection."""
        self._early = True
        if self._cycle is not None:
            self._cycle.answer(errors.response(refusal))

    def _send(self, response: Response) -> None:
        self._answered = True
        cycle, self._cycle = (
            self._cycle,
            None,
        )  # it refers to this object, and only the garbage collector would free the cycle
        if self._gone or cycle is None:
            return
        request = cycle.request
        headers = HTTPHeaders()
        for name, value in self._dispatcher.headers(response, request.id, request.headers.get("Origin")):
            if name == "Vary":
                headers.add(name, value)
            else:
                headers[name] = value  # none is repeated, and `add` costs twice as much
        if self._early or self._dispatcher.draining:
            headers["Connection"] = "close"
        if self._early and (stream := stream_of(self._connection)) is not None:
            stream.final_response_sent = True
        body = b"" if request.method == "HEAD" or response.status in (204, 304) else response.body
        start = ResponseStartLine("HTTP/1.1", response.status, PHRASES.get(response.status, "Unknown"))
        try:
            self._connection.write_headers(start, headers, body)
        except ValueError:
            log.exception("response could not be encoded, closing the connection")
            self._connection.close()
            return
        self._connection.finish()
