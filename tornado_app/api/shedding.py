"""Load shedding: while too many score updates wait, further ones are refused before they are read as HTTP.

Refusing in the ordinary way costs the service a third of what an update costs it, so at twice its capacity it would do
little else (docs/reliability.md). A score update that has arrived whole, which nearly all do, is answered from its
bytes instead, by a few searches in them. What is odd in any way is left to the ordinary way, which refuses it as well:
neither looks at the token, as nothing can be done for anybody.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus

from tornado.httputil import HTTPHeaders

from tornado_app.api import errors
from tornado_app.api.face import Face
from tornado_app.api.gateway import Gateway
from tornado_app.api.http import Request
from tornado_app.api.record import Record
from tornado_app.api.writes import policy
from tornado_app.core.errors import Overloaded
from tornado_app.core.policies import RateLimit

log = logging.getLogger("leaderboard.http")

TELL_EVERY = 1.0
"""Seconds between two lines in the log."""

MOST_ORIGINS = 64
"""Pages of so many sites have their answer at hand."""

_LINES = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)+")
"""Header lines as RFC 9110, section 5.5, wants them."""

_TOLD = re.compile(
    rb"^(host|content-length|connection|origin|x-request-id|transfer-encoding|expect|upgrade):[ \t]*(.*?)[ \t]*\r$",
    re.IGNORECASE | re.MULTILINE,
)
_HARMLESS = {b"host", b"content-length", b"connection", b"origin", b"x-request-id"}


class Shedding:
    """Answers score updates while `full`; everything else it leaves alone."""

    def __init__(
        self, gateway: Gateway, record: Record, faces: Iterable[Face], limit: RateLimit, full: Callable[[], bool]
    ) -> None:
        self._gateway = gateway
        self._record = record
        self._policy = policy(limit)
        self._full = full
        self._writes = {
            f"{write.method} {write.path} HTTP/1.1".encode(): (face.name, write.method, write.path)
            for face in faces
            for write in face.writes
        }
        self._answers: dict[str | None, tuple[bytes, bytes]] = {}
        self._refused = 0
        self._told = -TELL_EVERY

    def __call__(self, data: memoryview) -> bytes | None:
        """What to answer to what a client sent; None where it is to be read first."""
        if not self._full() or self._gateway.draining:
            return None
        began = time.perf_counter()
        head, end, body = bytes(data).partition(b"\r\n\r\n")
        line, _, lines = head.partition(b"\r\n")
        write = self._writes.get(line)
        if write is None or not end:
            return None
        headers = _headers(lines + b"\r\n")
        if headers is None or headers.get(b"content-length") != b"%d" % len(body):
            return None
        return self._refuse(*write, headers, began)

    def _refuse(self, face: str, method: str, path: str, headers: dict[bytes, bytes], began: float) -> bytes:
        named = headers.get(b"x-request-id")
        given = HTTPHeaders() if named is None else HTTPHeaders({"X-Request-Id": named.decode("latin-1")})
        request_id = self._gateway.request_id(given)
        origin = headers.get(b"origin")
        before, after = self._answer(None if origin is None else origin.decode("latin-1"))
        self._record.unread(face, Overloaded.code)
        self._gateway.count(method, path, HTTPStatus.SERVICE_UNAVAILABLE, time.perf_counter() - began, request_id)
        self._tell(began)
        return b"%b%b%b" % (before, request_id.encode(), after)

    def _answer(self, origin: str | None) -> tuple[bytes, bytes]:
        """The whole answer to a page of this origin, but for the request's id between the two parts."""
        found = self._answers.get(origin)
        if found is None:
            response = errors.response(Overloaded(retry_after=1.0)).plus(self._policy)
            asked = Request("", "", "", HTTPHeaders() if origin is None else HTTPHeaders({"Origin": origin}), "", "")
            status = HTTPStatus(response.status)
            head = [f"HTTP/1.1 {status.value} {status.phrase}"]
            head += [f"{name}: {value}" for name, value in (*response.headers, *self._gateway.cors.headers(asked))]
            head += ["X-Content-Type-Options: nosniff", f"Content-Length: {len(response.body)}", "X-Request-Id: "]
            found = "\r\n".join(head).encode("latin-1"), b"\r\n\r\n" + response.body
            if len(self._answers) < MOST_ORIGINS:
                self._answers[origin] = found
        return found

    def _tell(self, now: float) -> None:
        self._refused += 1
        if now - self._told >= TELL_EVERY:
            log.warning("too many score updates wait", extra={"event": "shedding", "refused": self._refused})
            self._refused, self._told = 0, now


def _headers(lines: bytes) -> dict[bytes, bytes] | None:
    """Those that matter here, by their lower-case names; None where one is there that needs a closer look."""
    if _LINES.fullmatch(lines) is None:
        return None
    found = _TOLD.findall(lines)
    headers = {name.lower(): value for name, value in found}
    if len(headers) < len(found) or b"host" not in headers or not headers.keys() <= _HARMLESS:
        return None
    return headers if headers.get(b"connection", b"keep-alive").lower() == b"keep-alive" else None
