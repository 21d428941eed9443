"""Checks of the request line and the headers, made before a body is read, and of the query."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import parse_qsl

from tornado.httputil import HTTPHeaders, RequestStartLine

from tornado_app.core.errors import LeaderboardError
from tornado_app.http.errors import BadRequest, BodyTooLarge, HeadersTooLarge
from tornado_app.http.messages import MAX_HEADERS
from tornado_app.http.request_log import clip

MAX_BODY = 16 * 1024

SINGLE = (
    "Idempotency-Key",
    "Action-Proof",
    "Captcha-Token",
    "Authorization",
    "Content-Type",
    "Content-Length",
    "If-Board-Version",
    "Origin",
    "Sec-WebSocket-Key",
)
"""Headers with one value. Tornado joins repeated headers by a comma, which would make another value of them."""

_MANY_DIGITS = 18
"""Digits of a length that are parsed: more than any accepted length has. Python refuses to parse thousands."""


def origin_form(target: str) -> str:
    """The target without scheme and host, which clients may send. Source: RFC 9112, section 3.2.2."""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return target
    slash = rest.find("/")
    return rest[slash:] if slash >= 0 else "/"


def authority(target: str) -> str | None:
    """The host in a target in absolute form, which overrides the header Host; None for another form."""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return None
    return rest.partition("/")[0].partition("?")[0]


def content_length(headers: HTTPHeaders) -> int:
    """The declared size of the body, 0 if there is none. Tornado refuses an invalid one."""
    digits = headers.get("Content-Length", "").lstrip("0")
    return int(digits[:_MANY_DIGITS]) if digits.isascii() and digits.isdigit() else 0


def is_handshake(line: RequestStartLine, headers: HTTPHeaders) -> bool:
    """Whether this is a WebSocket handshake. One with a body is not: Tornado would buffer the body without a limit."""
    upgrade = headers.get("Upgrade")
    if upgrade is None or upgrade.lower() != "websocket" or line.method != "GET":
        return False
    return headers.get("Content-Length", "0") == "0" and "Transfer-Encoding" not in headers


def check(line: RequestStartLine, headers: HTTPHeaders, length: int) -> LeaderboardError | None:
    """The error that refuses the request whatever its path is; None if there is none. `length`: of the body."""
    hosts = len(headers.get_list("Host"))
    if line.version != "HTTP/1.0" and hosts != 1:
        return _header_count("Host", hosts)
    for name in SINGLE:
        if (found := len(headers.get_list(name))) > 1:
            return _header_count(name, found)
    size = sum(len(name) + len(value) for name, value in headers.get_all()) + len(line.path)
    if size > MAX_HEADERS:
        return HeadersTooLarge(
            f"The request's target and headers are larger than {MAX_HEADERS} bytes.",
            detail=f"{size} bytes, at most {MAX_HEADERS}",
        )
    return body_too_large(length) if length > MAX_BODY else None


def _header_count(name: str, found: int) -> BadRequest:
    return BadRequest(f"The header {name} must be sent once.", reason="header_count", detail=f"{found} {name} headers")


def body_too_large(size: int) -> BodyTooLarge:
    """The error of a body of which `size` bytes are declared, or have arrived."""
    return BodyTooLarge(
        f"The request body is larger than {MAX_BODY} bytes.", detail=f"{size} bytes, at most {MAX_BODY}"
    )


def check_query(query: str, known: Collection[str]) -> None:
    """Raises BadRequest for an argument that is not in `known`, and for a repeated one.

    Otherwise `?period=weekly` would return another board than the one that it names.
    """
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    for name in names:
        if name not in known:
            raise BadRequest(f"Unknown query parameter {clip(name)}. {_allowed(known)}", reason="query_argument")
    if len(set(names)) < len(names):
        raise BadRequest("A query parameter is repeated.", reason="query_argument")


def _allowed(known: Collection[str]) -> str:
    if not known:
        return "This path has none."
    return f"Known parameters: {', '.join(sorted(known))}."
