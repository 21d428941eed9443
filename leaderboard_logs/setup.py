"""Configures logging to stderr. Each line is one write, which blocks the event loop if the reader of a pipe is slow."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TextIO

from leaderboard_logs.formatters import Context, JsonFormatter, ShortForm, TextFormatter
from leaderboard_logs.line_limit import LineLimitFilter


def configure(
    root_logger: str,
    level: str = "info",
    log_format: Literal["auto", "json", "text"] = "auto",
    stream: TextIO | None = None,
    *,
    color: bool = True,
    process: int | None = None,
    context: Context = dict,
    short_forms: Mapping[str, ShortForm] = MappingProxyType({}),
) -> None:
    """Send the lines of every logger to `stream` (default: stderr). May be called again.

    `level` applies to the loggers below `root_logger`; loggers of libraries have at least info, as some of them log
    all their traffic below that. `color`: whether lines on a terminal may have colours. `process`: the number of the
    process, a field of each line. `context`: returns further fields of each line. `short_forms`: by event, for text.
    """
    output = sys.stderr if stream is None else stream
    terminal = output.isatty()
    text = log_format == "text" or (log_format == "auto" and terminal)
    handler = _Handler(output)
    handler.addFilter(LineLimitFilter())
    handler.setFormatter(
        TextFormatter(root_logger, color=color and terminal, process=process, context=context, short_forms=short_forms)
        if text
        else JsonFormatter(process=process, context=context)
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    least = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(least, logging.INFO))
    logging.getLogger(root_logger).setLevel(least)
    logging.captureWarnings(capture=True)
    # The formatters do not use them, and collecting them costs time for each record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class _Handler(logging.StreamHandler[TextIO]):
    """The handler that `configure` installs, and replaces when it is called again."""

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
            return  # the stream itself is closed
