"""Requests, responses, the head of a response in bytes, and the table of routes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http.client import responses as PHRASES  # noqa: N812  # a constant table under a lower-case name
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

import msgspec

from tornado_app.core.errors import LeaderboardError
from tornado_app.core.identity import MAX_TOKEN

MAX_HEADERS = 2 * MAX_TOKEN + 4 * 1024
"""Maximum bytes of a request's headers: a token and an action proof of maximum size, and 4 KiB for the rest."""

JSON_TYPE = ("Content-Type", "application/json")

Headers: TypeAlias = Mapping[str, str]
"""Headers of a message; names are looked up without regard to case."""


class Request:
    """One HTTP request. `target`: path and query, as in the request line.

    `Dispatcher.begin` sets `id` and `remote`, the client's address; the router sets `params`, the parameters in the
    path.
    """

    __slots__ = ("body", "headers", "id", "method", "params", "path", "query", "remote")

    def __init__(self, method: str, target: str, headers: Headers, body: bytes = b"") -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = body
        self.id = ""
        self.remote = ""
        self.params: dict[str, str] = {}

    def arguments(self) -> dict[str, str]:
        """The arguments of the query. Of a repeated one, which only routes without `arguments` accept, the last."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


def encode_head(status: int, headers: Sequence[tuple[str, str]]) -> bytes:
    """The status line and headers of a response. Raises ValueError for a line break in one of them."""
    lines = [f"HTTP/1.1 {status} {PHRASES.get(status, 'Unknown')}", *[f"{name}: {value}" for name, value in headers]]
    text = "\r\n".join([*lines, "", ""])
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1:
        raise ValueError("a header contains a line break")
    return text.encode("latin-1")


class Refusal(msgspec.Struct, frozen=True):
    """The log fields of an error response: values only, so that a response does not keep a traceback in memory."""

    error: str
    reason: str
    detail: str


class Response(msgspec.Struct, frozen=True):
    """Status, body, and headers without Content-Length. `refusal`: the log fields of an error response."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (JSON_TYPE,)
    refusal: Refusal | None = None

    def plus(self, *headers: tuple[str, str]) -> Response:
        return Response(self.status, self.body, self.headers + headers, self.refusal)

    def replacing(self, header: tuple[str, str]) -> Response:
        """A copy with another value of one header."""
        kept = tuple(each for each in self.headers if each[0] != header[0])
        return Response(self.status, self.body, (*kept, header))


Endpoint: TypeAlias = Callable[[Request], Response | Awaitable[Response]]


class Route(msgspec.Struct, frozen=True):
    """A path template (`/api/v1/players/{user_id}`) and the endpoint of each method.

    `arguments`: the query arguments; any other is refused. None: the query is ignored. `any_host`: the header Host is
    not checked.
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
    """There is no such path."""

    code = "not_found"
    message = "There is no such path."


class MethodNotAllowed(LeaderboardError):
    """The path does not have this method."""

    code = "method_not_allowed"
    message = "This path does not support the method."


class Router:
    """Finds the route of a path: exact paths in a dict, paths with parameters one after another."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in routes:
            if "{" in route.path:
                self._patterns.append((re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)), route))
            else:
                self._exact[route.path] = route

    def find(self, path: str, query: str = "") -> tuple[Route, dict[str, str]]:  # for subclasses
        """The route and its parameters. Raises NotFound."""
        route = self._exact.get(path)
        if route is not None:
            return route, {}
        for pattern, candidate in self._patterns:
            match = pattern.fullmatch(path)
            if match:
                return candidate, {name: unquote(value) for name, value in match.groupdict().items()}
        raise NotFound
