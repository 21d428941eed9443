"""Configures the service's logs: their level, and the fields of the current request."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Literal, TextIO

import leaderboard_logs
from leaderboard_logs import ShortForm

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The current request, a field of each of its lines. The dispatcher sets it in the request's task."""

trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""The trace of the current request, from its caller (W3C Trace Context) or from the recorded span."""

ACCESS = "leaderboard.access"
"""The logger of the access log."""


def configure(
    level: str = "info",
    log_format: Literal["auto", "json", "text"] = "auto",
    stream: TextIO | None = None,
    *,
    color: bool = True,
    process: int | None = None,
    access: bool = False,
) -> None:
    """Send every logger's lines to `stream` (stderr by default) in one format. May be called again.

    `level`, `color` and `process` are those of `leaderboard_logs`. `access`: whether every request
    is logged; at level debug it always is.
    """
    leaderboard_logs.configure(
        "leaderboard",
        level,
        log_format,
        stream,
        color=color,
        process=process,
        context=_request_fields,
        short_forms={"request": ShortForm(_REQUEST_FIELDS, _request)},
    )
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger(ACCESS).setLevel(least if access or least < logging.INFO else max(least, logging.WARNING))


_REQUEST_FIELDS = frozenset({"event", "method", "route", "path", "status", "bytes", "remote", "seconds"})


def _request(fields: Mapping[str, Any]) -> str:
    """An answered request in text: `GET /api/top-scores 200 17 B 0.2 ms`."""
    milliseconds = fields["seconds"] * 1000
    return f"{fields['method']} {fields['path']} {fields['status']} {fields['bytes']} B {milliseconds:.1f} ms"


def _request_fields() -> dict[str, str]:
    """The current request and its trace."""
    request, trace = request_id.get(), trace_id.get()
    found = {} if request is None else {"request_id": request}
    return found if trace is None else found | {"trace_id": trace}
