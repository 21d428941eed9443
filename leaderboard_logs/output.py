"""Where lines go: to stderr, in one form. Each is one write, which holds up the event loop where a pipe's reader does
not keep up."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TextIO

from leaderboard_logs.flood import Flood
from leaderboard_logs.lines import Context, JsonFormatter, ShortForm, TextFormatter


def configure(
    ours: str,
    level: str = "info",
    form: Literal["auto", "json", "text"] = "auto",
    stream: TextIO | None = None,
    *,
    color: bool = True,
    process: int | None = None,
    context: Context = dict,
    short_forms: Mapping[str, ShortForm] = MappingProxyType({}),
) -> None:
    """Send every logger's lines to `stream` (stderr by default) in one form; may be called again.

    `level` is for the loggers below `ours`; those of libraries start at info, as some of them log all that they
    exchange below that. `color`: whether a terminal may be sent colours. `process`: what each line says of the process
    that wrote it. `context`: fields of what is at hand, put into each line.
    `short_forms`: by event, for text.
    """
    output = sys.stderr if stream is None else stream
    terminal = output.isatty()
    text = form == "text" or (form == "auto" and terminal)
    handler = _Handler(output)
    handler.addFilter(Flood())
    handler.setFormatter(
        TextFormatter(ours, color=color and terminal, process=process, context=context, short_forms=short_forms)
        if text
        else JsonFormatter(process=process, context=context)
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    least = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(least, logging.INFO))
    logging.getLogger(ours).setLevel(least)
    logging.captureWarnings(capture=True)
    # Nothing here shows them, and they are looked up for each record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that `configure` can tell it from others."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base's name
        """Say in one safe line that a line was lost; the base prints the record's arguments, secret or not."""
        fault = type(sys.exc_info()[1]).__name__
        lost = logging.makeLogRecord({
            "name": record.name, "levelno": logging.ERROR, "levelname": "ERROR",
            "msg": "a log line could not be written", "fault": fault, "place": f"{record.filename}:{record.lineno}",
        })  # fmt: skip
        try:
            self.stream.write(self.format(lost) + self.terminator)
        except (OSError, ValueError):
            return  # the stream itself is gone, and there is no other
