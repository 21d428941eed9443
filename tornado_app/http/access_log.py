"""The access log: a line for each response and each closed WebSocket, if `access_log` is set.

Responses with a status of 500 and above are always logged. The query is never logged, as it may contain a token.
"""

from __future__ import annotations

import logging

from tornado_app.http.messages import Request
from tornado_app.observability.logs import ACCESS

log = logging.getLogger(ACCESS)


def answered(request: Request, route: str, status: int, size: int, seconds: float) -> None:
    """Log a response. `size`: bytes of its body."""
    level = logging.WARNING if status >= 500 else logging.INFO
    if log.isEnabledFor(level):
        fields = {"method": request.method, "route": route, "path": request.path, "status": status, "bytes": size}
        rest = {"remote": request.remote, "seconds": round(seconds, 6)}
        log.log(level, "request", extra={"event": "request", **fields, **rest})


def socket_ended(frontend: str, remote: str, code: int | None, seconds: float) -> None:
    """Log the end of a WebSocket. `code`: the close code that its client sent, if any."""
    if log.isEnabledFor(logging.INFO):
        fields = {"frontend": frontend, "remote": remote, "code": code, "seconds": round(seconds, 3)}
        log.info("WebSocket closed", extra={"event": "socket_ended", **fields})
