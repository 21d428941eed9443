"""Integers in JSON: `5`, `5.0` and `1e3` are the same kind of number, and none of them may lose a digit on the way.

Sources: RFC 8259, section 6; JSON Schema validation, section 6.1.1: a number with a zero fraction is an integer.
"""

from __future__ import annotations

import re

MAX_DIGITS = 20
"""Digits of an integer that is written out; int64 has 19, so a larger one is out of range whatever its digits are."""

_MAX_EXPONENT_DIGITS = 6
_FORM = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)(?=[0-9])0*+([0-9]*))?", re.ASCII)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.ASCII | re.DOTALL)


def integer(text: str) -> int | None:
    """The exact value of a JSON number; None where it is no integer, or has more than MAX_DIGITS digits."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, direction, exponent = match.groups(default="")
    digits = (whole + fraction).rstrip("0")
    if not digits.strip("0"):
        return 0
    if len(exponent) > _MAX_EXPONENT_DIGITS:
        return None
    missing = len(whole) + int(f"{direction}{exponent or 0}") - len(digits)
    digits = digits.lstrip("0")
    if missing < 0 or len(digits) + missing > MAX_DIGITS:
        return None
    return int(sign + digits + "0" * missing)


def with_plain_integers(text: str) -> str:
    """A JSON text in which each integer of up to MAX_DIGITS digits is written with digits only. Strings stay as is."""
    return _TOKEN.sub(_plain, text)


def _plain(match: re.Match[str]) -> str:
    token = match[0]
    value = None if token[0] == '"' else integer(token)
    return token if value is None else str(value)
