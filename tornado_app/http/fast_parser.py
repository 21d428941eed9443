"""A request read from its bytes, if it has arrived whole and is plain in every way.

Nearly all requests are. Whatever is odd is left to Tornado's parser, which has the last word on what HTTP is: what is
taken here it takes too, and reads the same in it (a property test holds one against the other).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tornado_app.http.messages import MAX_HEADERS
from tornado_app.http.request_limits import MAX_BODY

_HEAD = re.compile(
    rb"(GET|POST|PATCH|PUT) (/[\x21-\x7e]*) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)+)\r\n"
)
"""Request line and header lines. Source: RFC 9112, section 3, and RFC 9110, section 5.5."""

_ODD = ("transfer-encoding", "expect", "upgrade")
"""Headers that make more of a request than its bytes."""


class UniqueHeaders(Mapping[str, str]):
    """Headers none of which comes twice."""

    __slots__ = ("_found",)

    def __init__(self, found: dict[str, str]) -> None:
        self._found = found

    def __getitem__(self, name: str) -> str:
        return self._found[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def get(self, name: str, default: Any = None) -> Any:
        """As in the base class, at a third of its cost."""
        return self._found.get(name.lower(), default)


class ParsedRequest(NamedTuple):
    """A request. `target`: path and query."""

    method: str
    target: str
    headers: UniqueHeaders
    body: bytes


def parse_simple_request(data: bytes) -> ParsedRequest | None:
    """The one request that `data` is; None where it is not whole, more than one, or in any way odd."""
    match = _HEAD.match(data)
    if match is None or match.end() > MAX_HEADERS:
        return None
    method, target, lines = match.groups()
    found: dict[str, str] = {}
    fields = lines.decode("latin-1").split("\r\n")
    fields.pop()
    for field in fields:
        name, _, value = field.partition(":")
        found[name.lower()] = value.strip(" \t")
    if len(found) < len(fields) or "host" not in found:
        return None
    for name in _ODD:
        if name in found:
            return None
    if found.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    body = data[match.end() :]
    if len(body) > MAX_BODY or found.get("content-length", "0" if not body else None) != str(len(body)):
        return None
    return ParsedRequest(method.decode("ascii"), target.decode("ascii"), UniqueHeaders(found), body)
