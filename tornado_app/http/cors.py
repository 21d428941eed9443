"""Cross-origin requests: which origins may call, and the headers that say so. Source: Fetch standard, section 3.2."""

from __future__ import annotations

import re
from collections.abc import Collection

from tornado_app.core.origins import OriginPatterns
from tornado_app.http.messages import Request

_DEFAULT_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, Action-Proof, Captcha-Token, If-None-Match, If-Board-Version, "
    "X-Request-Id, Traceparent"
)
"""Allowed request headers, for a preflight that names none."""

_NAMES = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[\t ]*,[\t ]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*", re.ASCII)
_EXPOSED = "Board-Version, ETag, Idempotent-Replay, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"


class Cors:
    """Allows the configured origins. `*` allows all, which is safe, as the service has no cookies."""

    def __init__(self, allowed_origins: Collection[str] = ()) -> None:
        self._origins = OriginPatterns(allowed_origins)

    def allows(self, origin: str) -> bool:
        return self._origins.match(origin)

    def headers(self, origin: str | None) -> list[tuple[str, str]]:
        """The headers of every response. `origin`: the request's header Origin."""
        if not self._origins:
            return []
        vary = [("Vary", "Origin")]
        if origin is None or not self.allows(origin):
            return vary
        return [*vary, ("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", _EXPOSED)]

    def preflight(self, request: Request, allow: str) -> list[tuple[str, str]]:
        """The further headers of the response to a preflight. `allow`: the methods of the path."""
        origin = request.headers.get("Origin")
        if origin is None or not self.allows(origin):
            return []
        return [
            ("Access-Control-Allow-Methods", allow),
            ("Access-Control-Allow-Headers", _requested(request.headers.get("Access-Control-Request-Headers"))),
            ("Access-Control-Max-Age", "600"),
        ]


def _requested(names: str | None) -> str:
    """The headers that a page may send: all that it requests, as tracing libraries add their own."""
    return names if names is not None and _NAMES.fullmatch(names) else _DEFAULT_HEADERS
