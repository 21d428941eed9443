"""Conditional requests (ETag, `If-None-Match`, 304) and the cache control of responses."""

from __future__ import annotations

from hashlib import blake2b

from tornado_app.http.messages import JSON_TYPE, Request, Response

PUBLIC = ("Cache-Control", "public, max-age=0, must-revalidate")
"""Shared caches may store the response, and must revalidate it each time."""

PRIVATE = ("Cache-Control", "private, no-cache")


def etag_of(body: bytes) -> str:
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def json_response(request: Request, body: bytes, *headers: tuple[str, str]) -> Response:
    """A JSON response with its ETag, or 304 if the client has this version."""
    etag = etag_of(body)
    return not_modified_or(request, Response(200, body, (JSON_TYPE, ("ETag", etag), *headers)), etag)


def not_modified_or(request: Request, response: Response, etag: str) -> Response:
    """The response, or 304 if `If-None-Match` contains its ETag. Source: RFC 9110, section 13.1.2."""
    condition = request.headers.get("If-None-Match")
    if condition is None or not _matches(condition, etag):
        return response
    return Response(304, headers=tuple(header for header in response.headers if header[0] != "Content-Type"))


def _matches(condition: str, etag: str) -> bool:
    return condition in (etag, "*") or any(tag.strip().removeprefix("W/") == etag for tag in condition.split(","))
