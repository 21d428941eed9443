"""The log lines of refusals: the code that the client gets, and the reason and detail that only the log gets.

All end in `_refused`, which the log bounds by reason and by client (leaderboard_logs/flood.py). docs/logs.md lists
fields and reasons.
"""

from __future__ import annotations

import logging

from tornado_app.core.errors import LeaderboardError
from tornado_app.http.messages import Refusal

log = logging.getLogger("leaderboard.refusals")

MAX_SHOWN = 100
"""Characters of a client's own text in a message or a detail."""

MAX_PATH = 512
"""Characters of a path in a line: one that is refused for its length is as long as the client likes."""


def clip(text: str) -> str:
    """A client's text, quoted, and no longer than a line of the log should be."""
    return repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")


def cause(refusal: LeaderboardError | Refusal) -> dict[str, str]:
    """The fields `error`, `reason` and `detail` of a refusal's line."""
    error = refusal.error if isinstance(refusal, Refusal) else refusal.code
    return {"error": error, "reason": refusal.reason, "detail": refusal.detail}


def request_refused(status: int, refusal: LeaderboardError | Refusal, **asked: str | None) -> None:
    """An HTTP request got an answer that is no success. `asked`: what is known of the request."""
    if path := asked.get("path"):
        asked["path"] = path[:MAX_PATH]
    log.info("request refused", extra={"event": "request_refused", **asked, "status": status, **cause(refusal)})


def socket_refused(frontend: str, remote: str, code: int, refusal: LeaderboardError) -> None:
    """A WebSocket was closed with a close code of the service."""
    log.info(
        "socket refused",
        extra={"event": "socket_refused", "frontend": frontend, "remote": remote, "close_code": code, **cause(refusal)},
    )
