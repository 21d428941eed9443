"""The access log: a line for each request that was answered and each socket that ended. Off unless asked for.

An answer that is our own fault (500 and above) is always told. The query is never: it may hold a token.
"""

from __future__ import annotations

import logging

from tornado_app.http.messages import Request
from tornado_app.observability.logs import ACCESS

log = logging.getLogger(ACCESS)


def answered(request: Request, route: str, status: int, size: int, seconds: float) -> None:
    """A request was answered with so many bytes of body."""
    level = logging.WARNING if status >= 500 else logging.INFO
    if log.isEnabledFor(level):
        fields = {"method": request.method, "route": route, "path": request.path, "status": status, "bytes": size}
        rest = {"remote": request.remote, "seconds": round(seconds, 6)}
        log.log(level, "request", extra={"event": "request", **fields, **rest})


def socket_ended(frontend: str, remote: str, code: int | None, seconds: float) -> None:
    """A socket is closed; `code` is what its client said last, if anything."""
    if log.isEnabledFor(logging.INFO):
        fields = {"frontend": frontend, "remote": remote, "code": code, "seconds": round(seconds, 3)}
        log.info("a socket ended", extra={"event": "socket_ended", **fields})
