"""From a request to an endpoint and back: routing, errors, CORS, metrics and the access log.

Requests come from `tornado_delegate.py`, which Tornado's HTTP server reads them for, and from `fast_path.py`, which
reads those that are plain from their bytes. From here on they are the same.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from itertools import count

from prometheus_client import Counter

from tornado_app.core.errors import LeaderboardError
from tornado_app.core.origins import HostPatterns
from tornado_app.http import access_log, errors, query, refusal_log
from tornado_app.http.client_address import TrustedProxies
from tornado_app.http.cors import Cors
from tornado_app.http.messages import Headers, MethodNotAllowed, Request, Response, Route, Router
from tornado_app.observability.logs import request_id as current_request_id
from tornado_app.observability.logs import trace_id as current_trace_id
from tornado_app.observability.metrics import Exemplary, Metrics
from tornado_app.observability.tracing import Tracing

log = logging.getLogger("leaderboard.http")

TRACEPARENT_SIZE = 55
"""Characters of a traceparent of version 00."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def trace_id(headers: Headers) -> str | None:
    """The trace that the caller is in. Source: W3C Trace Context, section 3.2; a version 00 has no fifth part."""
    given = headers.get("traceparent")
    match = _TRACEPARENT.fullmatch(given) if given else None
    if match is None or (given is not None and given.startswith("00") and len(given) != TRACEPARENT_SIZE):
        return None
    return match[1]


class Dispatcher:
    """What all requests go through. `draining` asks clients to come back elsewhere. Without `proxies` no
    X-Forwarded-For is read."""

    def __init__(
        self,
        router: Router,
        *,
        metrics: Metrics,
        cors: Cors,
        proxies: TrustedProxies | None = None,
        hosts: HostPatterns | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.router = router
        self.metrics = metrics
        self.cors = cors
        self._hosts = hosts
        self._proxies = proxies
        self.tracing = tracing
        self.draining = False
        self._under_way: set[asyncio.Future[None]] = set()
        self._meters: dict[tuple[str, str, int], tuple[Counter, Exemplary]] = {}
        self._ids = (f"{prefix}{n:x}" for prefix in [secrets.token_hex(5) + "-"] for n in count())

    async def drained(self) -> None:
        """Wait until no answer is owed."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def spawn(self, answering: Awaitable[None]) -> None:
        """Go on with an answer that takes time."""
        task = asyncio.ensure_future(answering)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def request(self, method: str, target: str, headers: Headers, peer: str) -> Request:
        """A request, without its body, and what the log is told of it. `peer`: the connection's address."""
        path, _, query = target.partition("?")
        request_id = self.request_id(headers.get("X-Request-Id"))
        current_request_id.set(request_id)
        current_trace_id.set(trace_id(headers))
        remote = peer if self._proxies is None else self._proxies.client_address(peer, headers.get("X-Forwarded-For"))
        return Request(method, path, query, headers, remote, request_id)

    def count(self, method: str, route: str, status: int, seconds: float, request: str) -> None:
        """Count an answer to `request`. The series of a kind of answer are looked up once, which costs as much."""
        key = method if method in _METHODS else "other", route, status
        meters = self._meters.get(key)
        if meters is None:
            requests, duration = self.metrics.http_requests, self.metrics.http_duration
            meters = self._meters[key] = requests.labels(*key), Exemplary(duration.labels(*key[:2]))
        meters[0].inc()
        meters[1].observe(seconds, request)

    def check_host(self, host: str | None) -> None:
        """Raises HostNotAllowed where requests may not address this host."""
        if self._hosts is not None and not self._hosts.match(host):
            raise errors.HostNotAllowed(detail=f"host {refusal_log.clip(host or '')} is not in allowed_hosts")

    def request_id(self, given: str | None) -> str:
        """The client's own, where it is a sane one, else a new one."""
        return given if given and _REQUEST_ID.fullmatch(given) else next(self._ids)

    def headers(self, request: Request, response: Response) -> list[tuple[str, str]]:
        """The headers of an answer; none but Vary comes twice."""
        found = list(response.headers)
        cors = self.cors.headers(request)
        if cors:
            names = {name for name, _ in found}
            found += [each for each in cors if each[0] == "Vary" or each[0] not in names]
        found.append(("X-Request-Id", request.id))
        found.append(("X-Content-Type-Options", "nosniff"))
        if response.status not in (204, 304):
            found.append(("Content-Length", str(len(response.body))))
        return found


class RequestCycle:
    """One request and its answer, which `send` is given once. `began`: by `time.perf_counter`."""

    __slots__ = ("_began", "_dispatcher", "_route", "_send", "_traced", "request")

    def __init__(
        self, dispatcher: Dispatcher, request: Request, began: float, send: Callable[[Response], None]
    ) -> None:
        self._dispatcher = dispatcher
        self._began = began
        self._send = send
        self._route: Route | None = None
        self.request = request
        self._traced = None
        if dispatcher.tracing is not None:
            self._traced = dispatcher.tracing.request(request.method, request.headers.get("traceparent"), request.id)

    def run(self) -> None:
        """The request is whole: have it answered, now or later."""
        try:
            outcome = self._dispatch()
        except Exception as error:  # noqa: BLE001  # this is where every fault becomes an answer
            outcome = self._failure(error)
        if isinstance(outcome, Response):
            self.answer(outcome)
        else:
            self._dispatcher.spawn(self._await_and_answer(outcome))

    def answer(self, response: Response) -> None:
        """Put it on record, and say it."""
        request, route = self.request, self._route
        name = "none" if route is None else route.path
        seconds = time.perf_counter() - self._began
        self._dispatcher.count(request.method, name, response.status, seconds, request.id)
        if self._traced is not None:
            self._traced(None if route is None else route.path, response.status)
        access_log.answered(request, name, response.status, len(response.body), seconds)
        if response.refusal is not None:
            asked = {"method": request.method, "route": name, "path": request.path, "remote": request.remote}
            refusal_log.request_refused(response.status, response.refusal, **asked)
        self._send(response)

    def _dispatch(self) -> Response | Awaitable[Response]:
        request = self.request
        route, params = self._dispatcher.router.find(request.path)
        self._route = route
        request.params = params
        if not route.any_host:
            self._dispatcher.check_host(request.headers.get("Host"))
        endpoint = route.methods.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is not None:
            if request.query and route.arguments is not None:
                query.check(request.query, route.arguments)
            return endpoint(request)
        if request.method == "OPTIONS":
            return Response(
                204, headers=(("Allow", route.allow), *self._dispatcher.cors.preflight(request, route.allow))
            )
        raise MethodNotAllowed(
            f"This path takes {route.allow}.", detail=f"{refusal_log.clip(request.method)}, allowed: {route.allow}"
        )

    async def _await_and_answer(self, outcome: Awaitable[Response]) -> None:
        try:
            response = await outcome
        except Exception as error:  # noqa: BLE001  # this is where every fault becomes an answer
            response = self._failure(error)
        self.answer(response)

    def _failure(self, error: Exception) -> Response:
        if not isinstance(error, LeaderboardError):
            log.error("a request failed", exc_info=error)
            error = LeaderboardError()
        response = errors.response(error)
        if isinstance(error, MethodNotAllowed) and self._route is not None:
            response = response.plus(("Allow", self._route.allow))
        return response
