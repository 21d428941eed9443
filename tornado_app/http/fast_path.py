"""The fast path: parses simple requests from their bytes. Parsing one with Tornado takes half of an update's CPU time.

Nearly all requests are simple. A request that is not eligible for the fast path, or has not arrived whole, falls back
to Tornado's parser. What this parser accepts, Tornado's accepts too, with the same result (a property test compares
them). After the parser both paths are the same (dispatcher.py), and a test compares their responses.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextvars import copy_context
from typing import Any, Protocol

from tornado_app.http.dispatcher import Dispatcher, RequestCycle
from tornado_app.http.messages import MAX_HEADERS, Headers, Request, Response, encode_head
from tornado_app.http.request_checks import MAX_BODY
from tornado_app.http.stream import HttpStream

log = logging.getLogger("leaderboard.http")

_HEAD = re.compile(
    rb"(GET|POST|PATCH|PUT) (/[\x21-\x7e]*) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)+)\r\n"
)
"""Request line and header lines. Source: RFC 9112, section 3, and RFC 9110, section 5.5."""

_NOT_ELIGIBLE = ("transfer-encoding", "expect", "upgrade")
"""Headers that give a request a meaning beyond its bytes."""


class UniqueHeaders(Mapping[str, str]):
    """Headers of which none is repeated; `values` has their names in lower case."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        """As in the base class, at a third of its cost."""
        return self._values.get(name.lower(), default)


def parse_simple_request(data: bytes) -> Request | None:
    """The one request in `data`; None if it is incomplete, not the only one, or not eligible for the fast path."""
    match = _HEAD.match(data)
    if match is None or match.end() > MAX_HEADERS:
        return None
    method, target, lines = match.groups()
    values: dict[str, str] = {}
    fields = lines.decode("latin-1").split("\r\n")
    fields.pop()
    for field in fields:
        name, _, value = field.partition(":")
        values[name.lower()] = value.strip(" \t")
    if len(values) < len(fields) or "host" not in values:
        return None
    for name in _NOT_ELIGIBLE:
        if name in values:
            return None
    if values.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    body = data[match.end() :]
    if len(body) > MAX_BODY or values.get("content-length", "0" if not body else None) != str(len(body)):
        return None
    return Request(method.decode("ascii"), target.decode("ascii"), UniqueHeaders(values), body)


class Shedder(Protocol):
    """Counts the updates in progress, and refuses further ones at capacity."""

    def full(self, update: Any) -> bool:
        """Whether this update is to be refused."""

    def update(self, data: bytes) -> Any:
        """The kind of update that a request is; None for another request."""

    def acquire(self, update: Any) -> None:
        """Count an update that begins."""

    def release(self, update: Any) -> None:
        """Count an update that ended."""

    def refuse(self, update: Any, headers: Headers, began: float) -> bytes:
        """The bytes of the refusal."""


class FastPath:
    """Serves simple requests. It counts score updates, and has the shedder refuse them at capacity."""

    def __init__(self, dispatcher: Dispatcher, shedder: Shedder) -> None:
        self._dispatcher = dispatcher
        self._shedder = shedder

    def try_handle(self, data: bytes, stream: HttpStream) -> bool:
        """Whether the request is handled here, now or later. If not, Tornado reads it."""
        began = time.perf_counter()
        request = None if self._dispatcher.draining else parse_simple_request(data)
        if request is None:
            return False
        update = self._shedder.update(data)
        if update is not None and self._shedder.full(update):
            stream.respond(self._shedder.refuse(update, request.headers, began))
        else:
            # The log fields of a request are in its own context, and not left in that of the connection.
            copy_context().run(self._serve, request, stream, began, update)
        return True

    def _serve(self, request: Request, stream: HttpStream, began: float, update: Any) -> None:
        dispatcher, shedder = self._dispatcher, self._shedder
        dispatcher.begin(request, stream.peer)

        def send(response: Response) -> None:
            if update is not None:
                shedder.release(update)
            headers = dispatcher.headers(response, request.id, request.headers.get("Origin"))
            if dispatcher.draining:
                headers.append(("Connection", "close"))
            try:
                head = encode_head(response.status, headers)
            except ValueError:
                log.exception("response could not be encoded, closing the connection")
                stream.close()
                return
            stream.respond(head + (b"" if response.status in (204, 304) else response.body))

        cycle = RequestCycle(dispatcher, request, began, send)
        if update is not None:
            shedder.acquire(update)
        cycle.run()
