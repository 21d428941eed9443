"""The operator's logs, in the format of the service. Each line, also of Kopf, names the current Leaderboard."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TextIO

import leaderboard_logs
from leaderboard_operator import KIND
from leaderboard_operator.resources.view import Key

LEVELS = ("debug", "info", "warning", "error")

FORMATS = ("auto", "json", "text")

_current: ContextVar[Key | None] = ContextVar("current_leaderboard", default=None)


def configure(
    level: str = "info", log_format: Literal["auto", "json", "text"] = "auto", stream: TextIO | None = None
) -> None:
    """Write all lines to `stream` (default: stderr). `auto` is text on a terminal, otherwise json."""
    leaderboard_logs.configure("leaderboard_operator", level, log_format, stream, context=_context)
    # Kopf logs each event at info, and the objects that it reads at debug.
    logging.getLogger("kopf").setLevel(max(logging.getLevelNamesMapping()[level.upper()], logging.WARNING))
    logging.getLogger("kopf.objects").addFilter(_rename_kopf_fields)


@contextmanager
def log_context(key: Key) -> Iterator[None]:
    """Add the Leaderboard to all log lines of the current task."""
    token = _current.set(key)
    try:
        yield
    finally:
        _current.reset(token)


def _context() -> dict[str, str]:
    key = _current.get()
    return {} if key is None else {"namespace": key[0], "leaderboard": key[1]}


def _rename_kopf_fields(record: logging.LogRecord) -> bool:
    """Replace Kopf's fields about an object by its namespace and name, under the operator's field names."""
    reference = record.__dict__.pop("k8s_ref", None)
    for name in ("settings", "k8s_skip"):
        record.__dict__.pop(name, None)
    if reference:
        kind = "leaderboard" if reference["kind"] == KIND else "object"
        name = reference["name"] if reference["kind"] == KIND else f"{reference['kind']}/{reference['name']}"
        record.__dict__.update({"namespace": reference["namespace"], kind: name})
    return True
