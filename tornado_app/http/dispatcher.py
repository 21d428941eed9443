"""Dispatches requests to endpoints: routing, errors, CORS, metrics, tracing and the access log.

Requests come from `tornado_delegate.py`, parsed by Tornado, and from `fast_path.py`.
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
from tornado_app.http import errors, request_checks, request_log
from tornado_app.http.client_address import TrustedProxies
from tornado_app.http.cors import Cors
from tornado_app.http.messages import Headers, MethodNotAllowed, Request, Response, Route, Router
from tornado_app.observability.logs import request_id as current_request_id
from tornado_app.observability.logs import trace_id as current_trace_id
from tornado_app.observability.metrics import ExemplarHistogram, Metrics
from tornado_app.observability.tracing import NO_TRACING, Tracing

log = logging.getLogger("leaderboard.http")

TRACEPARENT_SIZE = 55
"""Length of a traceparent of version 00."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def trace_id(headers: Headers) -> str | None:
    """The trace id of the caller. Source: W3C Trace Context, section 3.2; a version 00 has no fifth part."""
    given = headers.get("traceparent")
    match = _TRACEPARENT.fullmatch(given) if given else None
    if match is None or (given is not None and given.startswith("00") and len(given) != TRACEPARENT_SIZE):
        return None
    return match[1]


class Dispatcher:
    """Dispatches all requests of a port. While `draining`, responses close their connection.

    Without `proxies`, X-Forwarded-For is not read; without `hosts`, any Host is served.
    """

    def __init__(
        self,
        router: Router,
        *,
        metrics: Metrics,
        cors: Cors,
        proxies: TrustedProxies | None = None,
        hosts: HostPatterns | None = None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.router = router
        self.metrics = metrics
        self.cors = cors
        self._hosts = hosts
        self._proxies = proxies
        self.tracing = tracing
        self.draining = False
        self._pending: set[asyncio.Future[None]] = set()
        self._meters: dict[tuple[str, str, int], tuple[Counter, ExemplarHistogram]] = {}
        self._ids = (f"{prefix}{n:x}" for prefix in [secrets.token_hex(5) + "-"] for n in count())

    async def drained(self) -> None:
        """Wait until all requests are answered."""
        while self._pending:
            await asyncio.wait(self._pending)

    def spawn(self, work: Awaitable[None]) -> None:
        """Run a task that `drained` waits for."""
        task = asyncio.ensure_future(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    def begin(self, request: Request, peer: str) -> None:
        """Set id and client address of a request, and its log fields. `peer`: the address of the connection."""
        headers, proxies = request.headers, self._proxies
        request.id = self.request_id(headers.get("X-Request-Id"))
        current_request_id.set(request.id)
        current_trace_id.set(trace_id(headers))
        request.remote = peer if proxies is None else proxies.client_address(peer, headers.get("X-Forwarded-For"))

    def count(self, method: str, route: str, status: int, seconds: float, request: str) -> None:
        """Count a response. `request`: its id, for the exemplar.

        Series are cached, as looking one up costs as much as counting.
        """
        key = method if method in _METHODS else "other", route, status
        meters = self._meters.get(key)
        if meters is None:
            requests, duration = self.metrics.http_requests, self.metrics.http_duration
            meters = self._meters[key] = requests.labels(*key), ExemplarHistogram(duration.labels(*key[:2]))
        meters[0].inc()
        meters[1].observe(seconds, request)

    def check_host(self, host: str | None) -> None:
        """Raises HostNotAllowed for a host that is not in allowed_hosts."""
        if self._hosts is not None and not self._hosts.match(host):
            raise errors.HostNotAllowed(detail=f"host {request_log.clip(host or '')} is not in allowed_hosts")

    def request_id(self, given: str | None) -> str:
        """The id that the client gave if it is valid, else a new one."""
        return given if given and _REQUEST_ID.fullmatch(given) else next(self._ids)

    def headers(self, response: Response, request_id: str, origin: str | None) -> list[tuple[str, str]]:
        """All headers of a response; none but Vary is repeated. `origin`: the request's header Origin."""
        headers = list(response.headers)
        cors = self.cors.headers(origin)
        if cors:
            names = {name for name, _ in headers}
            headers += [header for header in cors if header[0] == "Vary" or header[0] not in names]
        headers.append(("X-Request-Id", request_id))
        headers.append(("X-Content-Type-Options", "nosniff"))
        if response.status not in (204, 304):
            headers.append(("Content-Length", str(len(response.body))))
        return headers


class RequestCycle:
    """One request and its response; `send` is called once with it. `began`: a time of `time.perf_counter`."""

    __slots__ = ("_began", "_dispatcher", "_on_response", "_route", "_send", "request")

    def __init__(
        self, dispatcher: Dispatcher, request: Request, began: float, send: Callable[[Response], None]
    ) -> None:
        self._dispatcher = dispatcher
        self._began = began
        self._send = send
        self._route: Route | None = None
        self.request = request
        parent = request.headers.get("traceparent")
        self._on_response = dispatcher.tracing.request(request.method, parent, request.id)

    def run(self) -> None:
        """Answer the request, which is complete, now or later."""
        try:
            outcome = self._dispatch()
        except Exception as error:  # noqa: BLE001  # every error becomes a response here
            outcome = self._failure(error)
        if isinstance(outcome, Response):
            self.answer(outcome)
        else:
            self._dispatcher.spawn(self._await_and_answer(outcome))

    def answer(self, response: Response) -> None:
        """Count, log and send the response."""
        request, route = self.request, self._route
        name = "none" if route is None else route.path
        seconds = time.perf_counter() - self._began
        self._dispatcher.count(request.method, name, response.status, seconds, request.id)
        self._on_response(None if route is None else route.path, response.status)
        request_log.answered(request, name, response.status, len(response.body), seconds)
        if response.refusal is not None:
            asked = {"method": request.method, "route": name, "path": request.path, "remote": request.remote}
            request_log.request_refused(response.status, response.refusal, **asked)
        self._send(response)

    def _dispatch(self) -> Response | Awaitable[Response]:
        request = self.request
        route, params = self._dispatcher.router.find(request.path, request.query)
        self._route = route
        request.params = params
        if not route.any_host:
            self._dispatcher.check_host(request.headers.get("Host"))
        endpoint = route.methods.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is not None:
            if request.query and route.arguments is not None:
                request_checks.check_query(request.query, route.arguments)
            return endpoint(request)
        if request.method == "OPTIONS":
            cors = self._dispatcher.cors.preflight(request, route.allow)
            return Response(204, headers=(("Allow", route.allow), *cors))
        raise MethodNotAllowed(
            f"This path takes {route.allow}.", detail=f"{request_log.clip(request.method)}, allowed: {route.allow}"
        )

    async def _await_and_answer(self, outcome: Awaitable[Response]) -> None:
        try:
            response = await outcome
        except Exception as error:  # noqa: BLE001  # every error becomes a response here
            response = self._failure(error)
        self.answer(response)

    def _failure(self, error: Exception) -> Response:
        if not isinstance(error, LeaderboardError):
            log.error("request failed", exc_info=error)
            error = LeaderboardError()
        response = errors.response(error)
        if isinstance(error, MethodNotAllowed) and self._route is not None:
            response = response.plus(("Allow", self._route.allow))
        return response
