"""From Tornado's HTTP server to an endpoint and back: limits, routing, errors, CORS, metrics and the access log.

REST requests are served below `RequestHandler`, by Tornado's public `HTTPMessageDelegate`: half the CPU of a handler
(docs/performance.md), and one place that answers every error in the API's own shape. WebSocket upgrades go on to a
`tornado.web.Application`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable
from http.client import responses as PHRASES  # noqa: N812  # a constant table under a lower-case name
from itertools import count
from typing import Any

from prometheus_client import Counter
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from tornado_app.api import access, errors, screening
from tornado_app.api.addresses import Proxies
from tornado_app.api.cors import Cors
from tornado_app.api.http import MethodNotAllowed, Request, Response, Route, Router
from tornado_app.api.server import last_words
from tornado_app.core.errors import LeaderboardError, ShuttingDown
from tornado_app.observability.logs import request_id as current_request_id
from tornado_app.observability.logs import trace_id as current_trace_id
from tornado_app.observability.metrics import Exemplary, Metrics
from tornado_app.observability.tracing import Answered, Tracing

log = logging.getLogger("leaderboard.http")

MAX_DRAIN = 1024 * 1024
"""Bytes of an oversized body that are read and thrown away, so that the client gets to read the refusal."""

TRACEPARENT_SIZE = 55
"""Characters of a traceparent of version 00."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def trace_id(headers: HTTPHeaders) -> str | None:
    """The trace that the caller is in. Source: W3C Trace Context, section 3.2; a version 00 has no fifth part."""
    given = headers.get("traceparent")
    match = _TRACEPARENT.fullmatch(given) if given else None
    if match is None or (given is not None and given.startswith("00") and len(given) != TRACEPARENT_SIZE):
        return None
    return match[1]


class Gateway(HTTPServerConnectionDelegate):
    """Serves a router's endpoints; hands upgrades to `sockets`. `draining` turns keep-alive off."""

    def __init__(
        self,
        router: Router,
        *,
        metrics: Metrics,
        cors: Cors,
        sockets: HTTPServerConnectionDelegate | None = None,
        proxies: Proxies | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.router = router
        self.metrics = metrics
        self.cors = cors
        self.sockets = sockets
        self._proxies = proxies or Proxies()
        self.tracing = tracing
        self.draining = False
        self._under_way: set[asyncio.Future[None]] = set()
        self._meters: dict[tuple[str, str, int], tuple[Counter, Exemplary]] = {}
        self._ids = (f"{prefix}{n:x}" for prefix in [secrets.token_hex(5) + "-"] for n in count())

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Called by Tornado for each request."""
        return _Exchange(self, server_conn, request_conn)

    async def idle(self) -> None:
        """Wait until no answer is owed."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def work(self, answering: Awaitable[None]) -> None:
        """Go on with an answer that takes time."""
        task = asyncio.ensure_future(answering)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def remote(self, connection: Any, headers: HTTPHeaders) -> str:
        """The client's address."""
        peer: str = connection.context.remote_ip
        return self._proxies.client(peer, headers.get("X-Forwarded-For"))

    def count(self, method: str, route: str, status: int, seconds: float, request: str) -> None:
        """Count an answer to `request`. The series of a kind of answer are looked up once, which costs as much."""
        key = method if method in _METHODS else "other", route, status
        meters = self._meters.get(key)
        if meters is None:
            requests, duration = self.metrics.http_requests, self.metrics.http_duration
            meters = self._meters[key] = requests.labels(*key), Exemplary(duration.labels(*key[:2]))
        meters[0].inc()
        meters[1].observe(seconds, request)

    def request_id(self, given: str | None) -> str:
        """The client's own, where it is a sane one, else a new one."""
        return given if given and _REQUEST_ID.fullmatch(given) else next(self._ids)


class _Exchange(HTTPMessageDelegate):
    """One request and its answer."""

    def __init__(self, gateway: Gateway, server_conn: object, connection: HTTPConnection) -> None:
        self._gateway = gateway
        self._server_conn = server_conn
        self._connection = connection
        self._request: Request | None = None
        self._inner: HTTPMessageDelegate | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._refusal: LeaderboardError | None = None
        self._answered = False
        self._gone = False
        self._route: Route | None = None
        self._traced: Answered | None = None
        self._began = 0.0

    # -- reading ----------------------------------------------------------------------------------

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> Awaitable[None] | None:
        """Decide what this is, and whether it is too large, before any body is read."""
        self._began = time.perf_counter()  # not before: a connection may have been idle for long
        line: RequestStartLine = start_line
        gateway = self._gateway
        path, _, query = screening.origin_form(line.path).partition("?")
        length = screening.content_length(headers)
        self._refusal = screening.refusal(line, headers, length)
        request_id = gateway.request_id(headers.get("X-Request-Id"))
        current_request_id.set(request_id)
        current_trace_id.set(trace_id(headers))
        if self._refusal is None and gateway.sockets is not None and screening.is_handshake(line, headers):
            if not gateway.draining:
                self._inner = gateway.sockets.start_request(self._server_conn, self._connection)
                return self._inner.headers_received(start_line, headers)
            self._refusal = ShuttingDown()
        remote = gateway.remote(self._connection, headers)
        self._request = Request(line.method, path, query, headers, remote, request_id)
        if gateway.tracing is not None:
            self._traced = gateway.tracing.request(line.method, headers.get("traceparent"), request_id)
        if self._refusal is not None and (length > MAX_DRAIN or "Expect" in headers):
            self._answer(errors.response(self._refusal), early=True)
        return None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Collect the body within its bound."""
        if self._inner is not None:
            return self._inner.data_received(chunk)
        self._size += len(chunk)
        if self._size > screening.MAX_BODY:
            self._chunks.clear()
            self._refusal = self._refusal or errors.BodyTooLarge()
            if self._size > MAX_DRAIN and not self._answered:
                self._answer(errors.response(self._refusal), early=True)
        else:
            self._chunks.append(chunk)
        return None

    def finish(self) -> None:
        """The request is whole: answer it."""
        if self._inner is not None:
            self._inner.finish()
            return
        request = self._request
        if request is None or self._answered:
            return
        request.body = b"".join(self._chunks)
        if self._refusal is not None:
            self._answer(errors.response(self._refusal))
            return
        try:
            outcome = self._dispatch(request)
        except Exception as error:  # noqa: BLE001  # this is where every fault becomes an answer
            outcome = self._failure(error)
        if isinstance(outcome, Response):
            self._answer(outcome)
        else:
            self._gateway.work(self._await_and_answer(outcome))

    def on_connection_close(self) -> None:
        """The client went away; what it asked for is done all the same."""
        self._gone = True
        if self._inner is not None:
            self._inner.on_connection_close()

    # -- answering --------------------------------------------------------------------------------

    def _dispatch(self, request: Request) -> Response | Awaitable[Response]:
        route, params = self._gateway.router.find(request.path)
        self._route = route
        request.params = params
        endpoint = route.methods.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is not None:
            return endpoint(request)
        if request.method == "OPTIONS":
            return Response(204, headers=(("Allow", route.allow), *self._gateway.cors.preflight(request, route.allow)))
        raise MethodNotAllowed

    async def _await_and_answer(self, outcome: Awaitable[Response]) -> None:
        try:
            response = await outcome
        except Exception as error:  # noqa: BLE001  # this is where every fault becomes an answer
            response = self._failure(error)
        self._answer(response)

    def _failure(self, error: Exception) -> Response:
        if not isinstance(error, LeaderboardError):
            log.error("a request failed", exc_info=error)
            error = LeaderboardError()
        response = errors.response(error)
        if isinstance(error, MethodNotAllowed) and self._route is not None:
            response = response.plus(("Allow", self._route.allow))
        return response

    def _answer(self, response: Response, *, early: bool = False) -> None:
        """Answer, `early` before the request was read whole: what is left of it is not worth reading."""
        request = self._request
        if request is None:
            return
        self._answered = True
        self._record(request, response)
        if self._gone:
            return
        headers = HTTPHeaders()
        for name, value in response.headers:
            headers[name] = value  # none comes twice, and `add` costs twice as much
        for name, value in self._gateway.cors.headers(request):
            if name == "Vary":
                headers.add(name, value)
            elif name not in headers:
                headers[name] = value
        headers["X-Request-Id"] = request.id
        headers["X-Content-Type-Options"] = "nosniff"
        if response.status not in (204, 304):
            headers["Content-Length"] = str(len(response.body))
        if early or self._gateway.draining:
            headers["Connection"] = "close"
        if early:
            last_words(self._connection)
        body = b"" if request.method == "HEAD" or response.status in (204, 304) else response.body
        start = ResponseStartLine("HTTP/1.1", response.status, PHRASES.get(response.status, "Unknown"))
        self._connection.write_headers(start, headers, body)
        self._connection.finish()

    def _record(self, request: Request, response: Response) -> None:
        name = self._route.path if self._route is not None else "none"
        seconds = time.perf_counter() - self._began
        self._gateway.count(request.method, name, response.status, seconds, request.id)
        if self._traced is not None:
            self._traced(None if self._route is None else self._route.path, response.status)
        access.answered(request, name, response.status, len(response.body), seconds)
