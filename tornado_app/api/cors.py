"""Which pages of other sites may call. Source: the Fetch standard, section 3.2."""

from __future__ import annotations

from collections.abc import Collection

from tornado_app.api.http import Request

_ASKED = (
    "Authorization, Content-Type, Idempotency-Key, Action-Proof, Captcha-Token, If-None-Match, If-Board-Version, "
    "X-Request-Id, Traceparent"
)
_SHOWN = "Board-Version, ETag, Idempotent-Replay, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"


class Cors:
    """Allows the configured origins; `*` allows all, which is safe here as there are no cookies."""

    def __init__(self, allowed_origins: Collection[str] = ()) -> None:
        self._origins = frozenset(allowed_origins)

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may call."""
        return "*" in self._origins or origin in self._origins

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
            ("Access-Control-Allow-Headers", _ASKED),
            ("Access-Control-Max-Age", "600"),
        ]
