"""Value types for durations and rates."""

from __future__ import annotations

import re
from typing import Any

from tornado_app.config.value_types import Base, InvalidValue
from tornado_app.core.policies import MAX_IDEMPOTENCY_HISTORY, RateLimit

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h)?")
_RATE = re.compile(r"([0-9]{1,9}) ?/ ?([0-9.]*(?:ms|s|m|h)?)")


def parse_duration(text: str) -> float:
    """Seconds of `100ms`, `60s`, `1m`, `2h`, or a bare number of seconds. Raises InvalidValue."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InvalidValue
    number, unit = match.groups()
    # Division keeps 100ms the double that 0.1 is; a product would not always.
    return float(number) / 1000 if unit == "ms" else float(number) * _UNITS[unit or "s"]


def format_duration(seconds: float) -> str:
    """The min_window text that `parse_duration` parses to the same number."""
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
