"""Conditional requests: ETag, `If-None-Match` and 304, and who may cache a response."""

from __future__ import annotations

from hashlib import blake2b

from tornado_app.http.messages import JSON_TYPE, Request, Response

PUBLIC = ("Cache-Control", "public, max-age=0, must-revalidate")
"""Shared caches may keep it, and ask each time whether it is still so."""

PRIVATE = ("Cache-Control", "private, no-cache")


def etag_of(body: bytes) -> str:
    """The strong entity tag of a body."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def tagged(request: Request, body: bytes, *headers: tuple[str, str]) -> Response:
    """The JSON body with its ETag, or 304 where the client has it already."""
    etag = etag_of(body)
    return fresh(request, Response(200, body, (JSON_TYPE, ("ETag", etag), *headers)), etag)


def fresh(request: Request, response: Response, etag: str) -> Response:
    """The response, or 304 where `If-None-Match` names its ETag. Source: RFC 9110, section 13.1.2."""
    known = request.headers.get("If-None-Match")
    if known is None or not _names(known, etag):
        return response
    return Response(304, headers=tuple(header for header in response.headers if header[0] != "Content-Type"))


def _names(known: str, etag: str) -> bool:
    return known in (etag, "*") or any(tag.strip().removeprefix("W/") == etag for tag in known.split(","))
