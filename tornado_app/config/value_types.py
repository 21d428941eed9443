"""The types of settings' values.

A value type parses text (a flag, a variable) with `parse` and a value of the settings file with `from_yaml`; `format`
writes a value as text that `parse` reads back. An invalid value raises `InvalidValue`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tornado_app.core.policies import MAX_IDEMPOTENCY_HISTORY, RateLimit

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h)?")
_DAYS = re.compile(r"([0-9]{1,5})d")
_DAY = 86400.0
_RATE = re.compile(r"([0-9]{1,9}) ?/ ?([0-9.]*(?:ms|s|m|h)?)")


class InvalidValue(ValueError):
    """A value is invalid. The message, which may be empty, is a hint that never contains the value."""


class ValueType(Protocol):
    """Parses, formats and describes values. `expected` completes the sentence "... is not ..."."""

    @property
    def metavar(self) -> str:
        """The placeholder of the value in the help."""

    @property
    def expected(self) -> str:
        """A phrase that describes valid values."""

    def parse(self, text: str) -> Any:
        """The value of the text of a flag or variable. Raises InvalidValue."""

    def from_yaml(self, value: object) -> Any:
        """The value of a scalar or list of the YAML file. Raises InvalidValue."""

    def format(self, value: Any) -> str:
        """The value as text."""


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """Default behaviour: the file has the same text as a flag, and `str` formats the value."""

    metavar: str = "TEXT"

    def parse(self, text: str) -> Any:
        """As in ValueType."""
        raise NotImplementedError

    def from_yaml(self, value: object) -> Any:
        """As in ValueType."""
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.parse(str(value))  # raises if quotes would not help
            raise InvalidValue("put it in quotes")
        raise InvalidValue

    def format(self, value: Any) -> str:
        """As in ValueType."""
        return str(value)


class Text(Base, frozen=True, kw_only=True):
    """One line of text that matches `pattern` as a whole. `lines` allows several lines (a PEM key)."""

    expected: str = "text without control characters"
    pattern: str | None = None
    reserved: tuple[str, ...] = ()
    lines: bool = False

    def parse(self, text: str) -> str:
        """`text` itself."""
        visible = text.replace("\n", "").replace("\r", "") if self.lines else text
        if not visible.strip() or any(ord(c) < 32 or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in visible):
            raise InvalidValue
        if self.pattern is not None and re.fullmatch(self.pattern, text) is None:
            raise InvalidValue
        if text in self.reserved:
            raise InvalidValue("that name is reserved")
        return text


class Texts(Base, frozen=True, kw_only=True):
    """A comma-separated or YAML list of at least `low` texts; subclasses have other items."""

    metavar: str = "TEXT,..."
    expected: str = "a list of texts separated by commas"
    low: int = 0

    def parse(self, text: str) -> tuple[Any, ...]:
        """Each item once, in order."""
        return self.from_yaml([part.strip() for part in text.split(",")] if text.strip() else [])

    def from_yaml(self, value: object) -> tuple[Any, ...]:
        """A list of texts, or text that `parse` accepts."""
        if not isinstance(value, list):
            found: tuple[Any, ...] = super().from_yaml(value)
            return found
        for number in (part for part in value if not isinstance(part, str)):
            super().from_yaml(number)  # raises, with a hint to quote a number
        if len(value) < self.low:
            raise InvalidValue("it is empty")
        return tuple(dict.fromkeys(self.item(part) for part in value))

    def item(self, text: str) -> Any:
        """The value of one item. Raises InvalidValue."""
        return Text().parse(text)

    def format(self, value: Any) -> str:
        """Separated by commas."""
        return ",".join(map(str, value))


class Integer(Base, frozen=True, kw_only=True):
    """An integer from `low` to `high`."""

    low: int
    high: int
    metavar: str = "N"

    @property
    def expected(self) -> str:
        """Names the bounds."""
        return f"a whole number of {self.low} to {self.high}"

    def parse(self, text: str) -> int:
        """Decimal digits only."""
        if re.fullmatch(r"[+-]?[0-9]{1,19}", text) is None:
            raise InvalidValue
        return self.from_yaml(int(text))

    def from_yaml(self, value: object) -> int:
        """An integer, or text that is one; a bool is none."""
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise InvalidValue
        return value


class Count(Integer, frozen=True, kw_only=True):
    """An integer from `low` to `high`, or `auto`."""

    metavar: str = "N|auto"

    @property
    def expected(self) -> str:
        """Names the bounds, and the word."""
        return f"{super().expected}, or auto"

    def parse(self, text: str) -> Any:
        """A number as an Integer's, or the word itself."""
        return text if text == "auto" else super().parse(text)


_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


class Flag(Base, frozen=True, kw_only=True):
    """True or false."""

    metavar: str = "true|false"
    expected: str = "true or false"

    def parse(self, text: str) -> bool:
        """`true`, `yes`, `on`, `1` and their opposites, in any case."""
        word = text.lower()
        if word not in _TRUE + _FALSE:
            raise InvalidValue
        return word in _TRUE

    def from_yaml(self, value: object) -> bool:
        """A YAML bool, or text that is one."""
        return value if isinstance(value, bool) else bool(super().from_yaml(value))

    def format(self, value: Any) -> str:
        """As YAML writes it."""
        return "true" if value else "false"


class Choice(Base, frozen=True, kw_only=True):
    """One of `options`."""

    options: tuple[str, ...]

    @property
    def expected(self) -> str:
        """Names the options."""
        return f"one of {', '.join(self.options)}"

    def parse(self, text: str) -> str:
        """An option in its exact spelling."""
        if text not in self.options:
            raise InvalidValue
        return text

    def from_yaml(self, value: object) -> str:
        """An option. YAML parses a bare `off` as false."""
        return "off" if value is False and "off" in self.options else str(super().from_yaml(value))


class File(Base, frozen=True, kw_only=True):
    """A path, relative to the working directory. `checks` verifies that it exists."""

    metavar: str = "PATH"
    expected: str = "a path"

    def parse(self, text: str) -> Path:
        """`text` as a path, with `~` as the home directory."""
        if not text.strip() or "\0" in text:
            raise InvalidValue
        try:
            return Path(text).expanduser()
        except RuntimeError:
            raise InvalidValue("the home directory is not known") from None


def parse_duration(text: str) -> float:
    """Seconds of `100ms`, `60s`, `1m`, `2h`, or a bare number of seconds. Raises InvalidValue."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InvalidValue
    number, unit = match.groups()
    # Division keeps 100ms the double that 0.1 is; a product would not always.
    return float(number) / 1000 if unit == "ms" else float(number) * _UNITS[unit or "s"]


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` parses to the same number."""
    if 0 < seconds < 1 and parse_duration(milliseconds := f"{seconds * 1000:.9g}ms") == seconds:
        return milliseconds
    if seconds >= 3600 and seconds % 3600 == 0:
        return f"{seconds / 3600:.0f}h"
    if seconds >= 120 and seconds % 60 == 0:
        return f"{seconds / 60:.0f}m"
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds!r}s"


class Duration(Base, frozen=True, kw_only=True):
    """A duration from `low` to `high` seconds, both included."""

    low: float
    high: float
    metavar: str = "TIME"

    @property
    def expected(self) -> str:
        """Names the bounds and shows the form."""
        return (
            f"a duration of {format_duration(self.low)} to {format_duration(self.high)}, such as 100ms, 60s, 1m or 2h"
        )

    def parse(self, text: str) -> float:
        """A number with a unit, or of seconds."""
        return self.from_yaml(parse_duration(text))

    def from_yaml(self, value: object) -> float:
        """A number of seconds, or text with a unit; not a bool."""
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise InvalidValue
        return float(value)

    def format(self, value: Any) -> str:
        """With its unit."""
        return format_duration(value)


class Days(Base, frozen=True, kw_only=True):
    """A number of days with its unit, in seconds. `low`: the minimum, up to 9."""

    low: int
    metavar: str = "TIME"

    @property
    def expected(self) -> str:
        """Names the minimum and shows the form."""
        return f"a number of days, at least {self.low}d, such as 90d"

    def parse(self, text: str) -> float:
        """`90d`."""
        match = _DAYS.fullmatch(text.strip())
        if match is None or int(match[1]) < self.low:
            raise InvalidValue
        return float(match[1]) * _DAY

    def format(self, value: Any) -> str:
        """`90d`."""
        return f"{value / _DAY:.0f}d"


class Rate(Base, frozen=True, kw_only=True):
    """A number of updates or requests (`counted`) per window."""

    metavar: str = "N/TIME"
    counted: str = "updates"
    maximum: int = MAX_IDEMPOTENCY_HISTORY
    min_window: float = 0.01
    max_window: float = 86400.0

    @property
    def expected(self) -> str:
        """Names what is counted and shows the form."""
        return f"a number of {self.counted} per window, such as 10/60s, 10/m or 100/1h"

    def parse(self, text: str) -> RateLimit:
        """`10/60s`, `10/m`, `100/1h`; a window without a unit is in seconds."""
        match = _RATE.fullmatch(text.strip())
        if match is None or not match[2]:
            raise InvalidValue
        updates, window = int(match[1]), parse_duration(f"1{match[2]}" if match[2] in _UNITS else match[2])
        if not 1 <= updates <= self.maximum:
            raise InvalidValue(f"{self.counted} may be 1 to {self.maximum}")
        if not self.min_window <= window <= self.max_window:
            raise InvalidValue(
                f"the window may be {format_duration(self.min_window)} to {format_duration(self.max_window)}"
            )
        return RateLimit(updates, window)

    def format(self, value: Any) -> str:
        """`10/60s`."""
        return f"{value.updates}/{format_duration(value.window)}"
