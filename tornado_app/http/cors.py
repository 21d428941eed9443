"""Which pages of other sites may call. Source: the Fetch standard, section 3.2."""

from __future__ import annotations

import re
from collections.abc import Collection

from tornado_app.core.origins import OriginPatterns
from tornado_app.http.messages import Request

_OWN = (
    "Authorization, Content-Type, Idempotency-Key, Action-Proof, Captcha-Token, If-None-Match, If-Board-Version, "
    "X-Request-Id, Traceparent"
)
"""Allowed where a preflight names no header."""

_NAMES = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[\t ]*,[\t ]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*", re.ASCII)
_SHOWN = "Board-Version, ETag, Idempotent-Replay, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"


class Cors:
    """Allows the configured origins; `*` allows all, which is safe here as there are no cookies."""

    def __init__(self, allowed_origins: Collection[str] = ()) -> None:
        self._origins = OriginPatterns(allowed_origins)

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may call."""
        return self._origins.match(origin)

    def headers(self, request: Request) -> list[tuple[str, str]]:
        """What the answer to a page of another origin says."""
        if not self._origins:
            return []
        vary = [("Vary", "Origin")]
        origin = request.headers.get("Origin")
        if origin is None or not self.allows(origin):
            return vary
        return [*vary, ("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", _SHOWN)]

    def preflight(self, request: Request, allow: str) -> list[tuple[str, str]]:
        """What the answer to a preflight says beside `headers`."""
        origin = request.headers.get("Origin")
        if origin is None or not self.allows(origin):
            return []
        return [
            ("Access-Control-Allow-Methods", allow),
            ("Access-Control-Allow-Headers", _asked(request.headers.get("Access-Control-Request-Headers"))),
            ("Access-Control-Max-Age", "600"),
        ]


def _asked(names: str | None) -> str:
    """The headers that a page may send: all that it asks for, as tracing needs. There are no cookies to guard."""
    return names if names is not None and _NAMES.fullmatch(names) else _OWN
