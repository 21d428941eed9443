"""What the value of a setting may be: text in, value out, and a phrase that says what would have been right.

A kind reads text (a flag, a variable) with `parse` and a value of the settings file with `take`; `show` writes a value
as text that `parse` reads back. A value that cannot be used raises `Refused`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

import msgspec


class Refused(ValueError):
    """A value that a kind does not take; the message, which may be empty, is a hint that never holds the value."""


class Kind(Protocol):
    """How values of one sort are read, shown and described. `what` completes "is not ..."."""

    @property
    def metavar(self) -> str:
        """The value's place-holder in the help."""

    @property
    def what(self) -> str:
        """What a value must be."""

    def parse(self, text: str) -> Any:
        """The value that the text of a flag or variable stands for; raises Refused."""

    def take(self, value: object) -> Any:
        """The value that a value of the YAML file stands for; raises Refused."""

    def show(self, value: Any) -> str:
        """The value as text."""


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What most kinds share: the file holds the same text as a flag, and `str` shows the value."""

    metavar: str = "TEXT"

    def parse(self, text: str) -> Any:
        """The value that `text` stands for, else `Refused`."""
        raise NotImplementedError

    def take(self, value: object) -> Any:
        """The value that a scalar or list of the YAML file stands for, else `Refused`."""
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.parse(str(value))  # where that is refused, quotes would not help
            raise Refused("put it in quotes")
        raise Refused

    def show(self, value: Any) -> str:
        """`value` as text."""
        return str(value)


class Text(Base, frozen=True, kw_only=True):
    """One line of text, or what `pattern` matches whole. `lines` allows more lines (a PEM key)."""

    what: str = "text without control characters"
    pattern: str | None = None
    reserved: tuple[str, ...] = ()
    lines: bool = False

    def parse(self, text: str) -> str:
        """`text` itself."""
        visible = text.replace("\n", "").replace("\r", "") if self.lines else text
        if not visible.strip() or any(ord(c) < 32 or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in visible):
            raise Refused
        if self.pattern is not None and re.fullmatch(self.pattern, text) is None:
            raise Refused
        if text in self.reserved:
            raise Refused("that name is reserved")
        return text


class Texts(Base, frozen=True, kw_only=True):
    """A list, separated by commas or as a YAML list, of at least `low` lines of text; subclasses have other items."""

    metavar: str = "TEXT,..."
    what: str = "a list of texts separated by commas"
    low: int = 0

    def parse(self, text: str) -> tuple[Any, ...]:
        """Each item once, in order."""
        return self.take([part.strip() for part in text.split(",")] if text.strip() else [])

    def take(self, value: object) -> tuple[Any, ...]:
        """A list of text, or text that `parse` reads."""
        if not isinstance(value, list):
            found: tuple[Any, ...] = super().take(value)
            return found
        for number in (part for part in value if not isinstance(part, str)):
            super().take(number)  # raises: it is no text, though its digits in quotes may be
        if len(value) < self.low:
            raise Refused("it is empty")
        return tuple(dict.fromkeys(self.item(part) for part in value))

    def item(self, text: str) -> Any:
        """The value of one item, else `Refused`."""
        return Text().parse(text)

    def show(self, value: Any) -> str:
        """Separated by commas."""
        return ",".join(map(str, value))


class Integer(Base, frozen=True, kw_only=True):
    """A whole number of `low` to `high`."""

    low: int
    high: int
    metavar: str = "N"

    @property
    def what(self) -> str:
        """Names the bounds."""
        return f"a whole number of {self.low} to {self.high}"

    def parse(self, text: str) -> int:
        """Decimal digits only."""
        if re.fullmatch(r"[+-]?[0-9]{1,19}", text) is None:
            raise Refused
        return self.take(int(text))

    def take(self, value: object) -> int:
        """An integer, or text that is one; a bool is none."""
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise Refused
        return value


class Count(Integer, frozen=True, kw_only=True):
    """A whole number of `low` to `high`, or `auto`: as many as suits the machine."""

    metavar: str = "N|auto"

    @property
    def what(self) -> str:
        """Names the bounds, and the word."""
        return f"{super().what}, or auto"

    def parse(self, text: str) -> Any:
        """A number as an Integer's, or the word itself."""
        return text if text == "auto" else super().parse(text)


_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


class Flag(Base, frozen=True, kw_only=True):
    """True or false."""

    metavar: str = "true|false"
    what: str = "true or false"

    def parse(self, text: str) -> bool:
        """`true`, `yes`, `on`, `1` and their opposites, in any case."""
        word = text.lower()
        if word not in _TRUE + _FALSE:
            raise Refused
        return word in _TRUE

    def take(self, value: object) -> bool:
        """A YAML bool, or text that is one."""
        return value if isinstance(value, bool) else bool(super().take(value))

    def show(self, value: Any) -> str:
        """As YAML writes it."""
        return "true" if value else "false"


class Choice(Base, frozen=True, kw_only=True):
    """One of `options`."""

    options: tuple[str, ...]

    @property
    def what(self) -> str:
        """Names the options."""
        return f"one of {', '.join(self.options)}"

    def parse(self, text: str) -> str:
        """An option, as it is spelled."""
        if text not in self.options:
            raise Refused
        return text

    def take(self, value: object) -> str:
        """An option; YAML reads a bare `off` as false."""
        return "off" if value is False and "off" in self.options else str(super().take(value))


class File(Base, frozen=True, kw_only=True):
    """A path; a relative one starts at the working directory. Whether it is there, `checks` says."""

    metavar: str = "PATH"
    what: str = "a path"

    def parse(self, text: str) -> Path:
        """`text` as a path, with `~` as the home directory."""
        if not text.strip() or "\0" in text:
            raise Refused
        try:
            return Path(text).expanduser()
        except RuntimeError:
            raise Refused("the home directory is not known") from None
