"""Log lines of refusals: the error code that the client gets, and the reason and detail that only the log gets.

The events of all lines end in `_refused`; the log limits their rate by reason and by client (leaderboard_logs).
docs/logs.md lists fields and reasons.
"""

from __future__ import annotations

import logging

from tornado_app.core import text as texts
from tornado_app.core.errors import LeaderboardError
from tornado_app.http.messages import Refusal

log = logging.getLogger("leaderboard.refusals")

MAX_SHOWN = 100
"""Maximum characters of a client's text in a message or a detail."""

MAX_PATH = 512
"""Maximum characters of a path in a line: a path that is refused for its length can be of any length."""


def clip(text: str) -> str:
    """A client's text in quotes, clipped to MAX_SHOWN characters."""
    return repr(texts.clip(text, MAX_SHOWN))


def cause(refusal: LeaderboardError | Refusal) -> dict[str, str]:
    """The log fields `error`, `reason` and `detail` of a refusal."""
    error = refusal.error if isinstance(refusal, Refusal) else refusal.code
    return {"error": error, "reason": refusal.reason, "detail": refusal.detail}


def request_refused(status: int, refusal: LeaderboardError | Refusal, **request: str | None) -> None:
    """Log an error response. `request`: the fields of the request that are known."""
    if path := request.get("path"):
        request["path"] = path[:MAX_PATH]
    log.info("request refused", extra={"event": "request_refused", **request, "status": status, **cause(refusal)})


def socket_refused(frontend: str, remote: str, code: int, refusal: LeaderboardError) -> None:
    """Log a WebSocket that the service closed because of an error."""
    log.info(
        "WebSocket refused",
        extra={"event": "socket_refused", "frontend": frontend, "remote": remote, "close_code": code, **cause(refusal)},
    )
