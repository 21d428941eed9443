"""The operator's logs: in the service's format, with the current Leaderboard in each line, also in those of Kopf."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TextIO

import leaderboard_logs
from leaderboard_operator import KIND
from leaderboard_operator.resources.names import Key

LEVELS = ("debug", "info", "warning", "error")

FORMATS = ("auto", "json", "text")

_at_hand: ContextVar[Key | None] = ContextVar("at_hand", default=None)


def configure(
    level: str = "info", log_format: Literal["auto", "json", "text"] = "auto", stream: TextIO | None = None
) -> None:
    """Send every line to `stream` (default: stderr); `auto` is text on a terminal and json elsewhere."""
    leaderboard_logs.configure("leaderboard_operator", level, log_format, stream, context=_context)
    # What Kopf says of its work is about every event, and below info holds what it read.
    logging.getLogger("kopf").setLevel(max(logging.getLevelNamesMapping()[level.upper()], logging.WARNING))
    logging.getLogger("kopf.objects").addFilter(_name_the_object)


@contextmanager
def about(key: Key) -> Iterator[None]:
    """Lines of this task are about a Leaderboard."""
    token = _at_hand.set(key)
    try:
        yield
    finally:
        _at_hand.reset(token)


def _context() -> dict[str, str]:
    key = _at_hand.get()
    return {} if key is None else {"namespace": key[0], "leaderboard": key[1]}


def _name_the_object(record: logging.LogRecord) -> bool:
    """Kopf hands objects of its own along; of these the name of what the line is about is told, under our names."""
    reference = record.__dict__.pop("k8s_ref", None)
    for name in ("settings", "k8s_skip"):
        record.__dict__.pop(name, None)
    if reference:
        kind = "leaderboard" if reference["kind"] == KIND else "object"
        name = reference["name"] if reference["kind"] == KIND else f"{reference['kind']}/{reference['name']}"
        record.__dict__.update({"namespace": reference["namespace"], kind: name})
    return True
