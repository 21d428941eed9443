"""Formats a log record as one line: a JSON object, or text. No value can forge a line."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from leaderboard_logs.redaction import redacted

Context = Callable[[], dict[str, str]]
"""Returns the fields of the current context, such as the request."""


class ShortForm(NamedTuple):
    """How the text of one event is written: `text` writes the fields of these names."""

    fields: frozenset[str]
    text: Callable[[Mapping[str, Any]], str]


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FIXED = frozenset({"ts", "level", "logger", "message", "exception", "stack"})
# Control characters, line separators, bidirectional controls, and surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_SIMPLE = frozenset({str, int, float, bool, type(None)})
_COLORS = {"DEBUG": "\x1b[2m", "INFO": "\x1b[32m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[1;31m"}
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class JsonFormatter(logging.Formatter):
    """`{"ts", "level", "logger", "message", ...}`; members of `extra` follow under their own names."""

    def __init__(self, *, process: int | None = None, context: Context = dict) -> None:
        super().__init__()
        self._process = {} if process is None else {"process": process}
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, without the line break."""
        line: dict[str, Any] = {
            "ts": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._process,
        }
        line.update(self._context())
        line.update(_extra(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        text = _json(line)
        if not text.isascii() or "\x7f" in text:
            text = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
        return redacted(text, is_json=True)


class TextFormatter(logging.Formatter):
    """Time, level, logger (without the prefix `root_logger`), message and `name=value` pairs; then a traceback.

    An event with a short form has it as its message, and below warning no context.
    """

    def __init__(
        self,
        root_logger: str,
        *,
        color: bool,
        process: int | None = None,
        context: Context = dict,
        short_forms: Mapping[str, ShortForm] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self._short_forms = short_forms
        self._prefix = f"{root_logger}."
        self._color = color
        self._process = "" if process is None else f"[{process}] "
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """One line; further lines of a traceback begin with white space."""
        color, dim, plain = (_COLORS.get(record.levelname, ""), _DIM, _PLAIN) if self._color else ("", "", "")
        name = _visible(record.name.removeprefix(self._prefix))
        message, pairs = self._message(record)
        extra = "".join(f"  {_visible(key)}={_value(value)}" for key, value in pairs.items())
        head = f"{dim}{_time(record.created)}{plain} {color}{record.levelname:<7}{plain} {self._process}{name}"
        lines = [f"{head}: {_visible(message)}{dim}{extra}{plain}"]
        if record.exc_info:
            lines += [f"    {_visible(line)}" for line in self.formatException(record.exc_info).splitlines()]
        if record.stack_info:
            lines += [f"    {_visible(line)}" for line in record.stack_info.splitlines()]
        return redacted("\n".join(lines), is_json=False)

    def _message(self, record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
        """The message, and the fields that follow it."""
        fields = _extra(record)
        form = self._short_forms.get(str(fields.get("event")))
        if form is None:
            return record.getMessage(), fields | self._context()
        rest = {name: value for name, value in fields.items() if name not in form.fields}
        return form.text(fields), rest | (self._context() if record.levelno >= logging.WARNING else {})


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _time(created: float) -> str:
    """RFC 3339 in UTC with milliseconds; the part up to seconds is cached."""
    seconds, ms = divmod(int(created * 1000), 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """The fields passed as `extra`; a name that the line already has gets an underscore."""
    return {
        f"{name}_" if name in _FIXED else name: value if type(value) in _SIMPLE else _plain(value)
        for name, value in record.__dict__.items()
        if name not in _STANDARD
    }


_encoder = msgspec.json.Encoder()


def _json(value: object) -> str:
    try:
        return _encoder.encode(value).decode()
    except (ValueError, TypeError, OverflowError, RecursionError):
        # Half of a surrogate pair, or a number that JSON readers do not support: rare, so converted only now.
        return _encoder.encode(_plain(value)).decode()


def _plain(value: object, depth: int = 4) -> object:
    """`value` in a form that can always be encoded. Objects are formatted by `str`, because a field may be secret."""
    if depth and isinstance(value, dict):
        return {_well_formed(str(key)): _plain(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth - 1) for item in value]
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 64):
        return value
    return _well_formed(str(value))


def _well_formed(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _visible(text: str) -> str:
    """`text` with characters that move a terminal's cursor or end the line escaped."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _value(value: object) -> str:
    bare = isinstance(value, str) and value and not any(c in ' "=' for c in value)
    return _visible(str(value) if bare else _json(value))
