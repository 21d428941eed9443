"""The log lines of requests and WebSockets: the access log, and the refusals.

The access log has a line for each response and each closed WebSocket, if `access_log` is set. Responses with a status
of 500 and above are always logged. The query is never logged, as it may contain a token.

A refusal's line has the error code that the client gets, and the reason and detail that only the log gets. Its event
ends in `_refused`; the log limits the rate of these lines by reason and by client (leaderboard_logs). docs/logs.md
lists fields and reasons.
"""

from __future__ import annotations

import logging

from tornado_app.core import text as texts
from tornado_app.core.errors import LeaderboardError
from tornado_app.http.messages import Refusal, Request
from tornado_app.observability.logs import ACCESS

_access = logging.getLogger(ACCESS)

_refusals = logging.getLogger("leaderboard.refusals")

MAX_SHOWN = 100
"""Maximum characters of a client's text in a message or a detail."""

MAX_PATH = 512
"""Maximum characters of a path in a line: a path that is refused for its length can be of any length."""


def answered(request: Request, route: str, status: int, size: int, seconds: float) -> None:
    """Log a response. `size`: bytes of its body."""
    level = logging.WARNING if status >= 500 else logging.INFO
    if _access.isEnabledFor(level):
        fields = {"method": request.method, "route": route, "path": request.path, "status": status, "bytes": size}
        rest = {"remote": request.remote, "seconds": round(seconds, 6)}
        _access.log(level, "request", extra={"event": "request", **fields, **rest})


def socket_ended(frontend: str, remote: str, code: int | None, seconds: float) -> None:
    """Log the end of a WebSocket. `code`: the close code that its client sent, if any."""
    if _access.isEnabledFor(logging.INFO):
        fields = {"frontend": frontend, "remote": remote, "code": code, "seconds": round(seconds, 3)}
        _access.info("WebSocket closed", extra={"event": "socket_ended", **fields})


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
    _refusals.info("request refused", extra={"event": "request_refused", **request, "status": status, **cause(refusal)})


def socket_refused(frontend: str, remote: str, code: int, refusal: LeaderboardError) -> None:
    """Log a WebSocket that the service closed because of an error."""
    _refusals.info(
        "WebSocket refused",
        extra={"event": "socket_refused", "frontend": frontend, "remote": remote, "close_code": code, **cause(refusal)},
    )
