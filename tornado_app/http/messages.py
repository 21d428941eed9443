"""A request and a response as values, and the table of routes: what every REST endpoint is made of."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

import msgspec

from tornado_app.core.errors import LeaderboardError
from tornado_app.core.identity import MAX_TOKEN

MAX_HEADERS = 2 * MAX_TOKEN + 4 * 1024
"""Bytes of a request's headers: a token and an action proof of the largest size, and 4 KiB for the rest."""

JSON_TYPE = ("Content-Type", "application/json")

Headers: TypeAlias = Mapping[str, str]
"""A message's headers, looked up by name in any case."""


class Request:
    """One HTTP request, read whole. `remote` is the client's address, `params` the path's named parts."""

    __slots__ = ("body", "headers", "id", "method", "params", "path", "query", "remote")

    def __init__(self, method: str, path: str, query: str, headers: Headers, remote: str, request_id: str) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.remote = remote
        self.id = request_id
        self.body = b""
        self.params: dict[str, str] = {}

    def arguments(self) -> dict[str, str]:
        """The query's arguments; of one that is named twice, which only routes without `arguments` let in, the last."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


class Refusal(msgspec.Struct, frozen=True):
    """What the log says of an answer that refuses a request: values only, so that no answer keeps a traceback."""

    error: str
    reason: str
    detail: str


class Response(msgspec.Struct, frozen=True):
    """Status, body, and headers beside Content-Length. `refusal`: why, where it is no success."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (JSON_TYPE,)
    refusal: Refusal | None = None

    def plus(self, *headers: tuple[str, str]) -> Response:
        """The same with more headers."""
        return Response(self.status, self.body, self.headers + headers, self.refusal)

    def replacing(self, header: tuple[str, str]) -> Response:
        """The same with another value of one header."""
        kept = tuple(each for each in self.headers if each[0] != header[0])
        return Response(self.status, self.body, (*kept, header))


Endpoint: TypeAlias = Callable[[Request], Response | Awaitable[Response]]


class Route(msgspec.Struct, frozen=True):
    """A path template (`/api/v1/players/{user_id}`) and what answers each method on it.

    `arguments`: the query arguments that are known; any other is refused. None: the query is ignored. `any_host`: it
    answers under names that are not allowed too.
    """

    path: str
    methods: dict[str, Endpoint]
    arguments: frozenset[str] | None = None
    any_host: bool = False

    @property
    def allow(self) -> str:
        """The value of the header Allow."""
        names = {*self.methods, "OPTIONS"} | ({"HEAD"} if "GET" in self.methods else set())
        return ", ".join(sorted(names))


class NotFound(LeaderboardError):
    """No such path."""

    code = "not_found"
    message = "There is nothing at this path."


class MethodNotAllowed(LeaderboardError):
    """The path is there, the method is not."""

    code = "method_not_allowed"
    message = "This method is not allowed here."


class Router:
    """Finds the route of a path: exact ones by look-up, those with parameters one by one."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in routes:
            if "{" in route.path:
                self._patterns.append((re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)), route))
            else:
                self._exact[route.path] = route

    def find(self, path: str) -> tuple[Route, dict[str, str]]:
        """The route and its parameters. Raises NotFound."""
        route = self._exact.get(path)
        if route is not None:
            return route, {}
        for pattern, candidate in self._patterns:
            match = pattern.fullmatch(path)
            if match:
                return candidate, {name: unquote(value) for name, value in match.groupdict().items()}
        raise NotFound
