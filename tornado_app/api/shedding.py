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
    """Lets in as many score updates as there is `room` for, and refuses the others; all else it lets pass.

    It counts those that are under way, from their first byte to their answer. Those that wait for the database are too
    few to go by: a crowd would come in while the first of them are still being read, to be refused at great cost.
    """

    def __init__(
        self, gateway: Gateway, record: Record, faces: Iterable[Face], limit: RateLimit, room: Callable[[], int]
    ) -> None:
        self._gateway = gateway
        self._record = record
        self._policy = policy(limit)
        self._room = room
        self._inside = 0
        self._writes = {
            f"{write.method} {write.path} HTTP/1.1".encode(): (face.name, write.method, write.path)
            for face in faces
            for write in face.writes
        }
        self._answers: dict[str | None, tuple[bytes, bytes]] = {}
        self._refused = 0
        self._told = -TELL_EVERY

    def ask(self, data: memoryview) -> bytes | bool:
        """What to answer at once; else whether it is an update, which counts until it has `left`."""
        line, _, rest = bytes(data).partition(b"\r\n")
        write = self._writes.get(line)
        if write is None:
            return False
        if self._inside >= self._room() and not self._gateway.draining:
            began = time.perf_counter()
            head, end, body = rest.partition(b"\r\n\r\n")
            headers = _headers(head + b"\r\n") if end else None
            if headers is not None and headers.get(b"content-length") == b"%d" % len(body):
                return self._refuse(*write, headers, began)
        self._inside += 1
        return True

    def left(self) -> None:
        """An update was answered, or its client is gone."""
        self._inside -= 1

    def _refuse(self, face: str, method: str, path: str, headers: dict[bytes, bytes], began: float) -> bytes:
        request_id = self._gateway.request_id(_text(headers.get(b"x-request-id")))
        before, after = self._answer(_text(headers.get(b"origin")))
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


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _headers(lines: bytes) -> dict[bytes, bytes] | None:
    """Those that matter here, by their lower-case names; None where one is there that needs a closer look."""
    if _LINES.fullmatch(lines) is None:
        return None
    found = _TOLD.findall(lines)
    headers = {name.lower(): value for name, value in found}
    if len(headers) < len(found) or b"host" not in headers or not headers.keys() <= _HARMLESS:
        return None
    return headers if headers.get(b"connection", b"keep-alive").lower() == b"keep-alive" else None
