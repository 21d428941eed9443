"""Text from outside: clipped for messages and log lines, JSON that has one meaning only, and exact integers in JSON.

Sources: RFC 8259, section 6; JSON Schema validation, section 6.1.1: a number with a zero fraction is an integer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

MAX_DIGITS = 20
"""Digits of an integer that is written out; int64 has 19, so a larger one is out of range whatever its digits are."""

_MAX_EXPONENT_DIGITS = 6
_FORM = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)(?=[0-9])0*+([0-9]*))?", re.ASCII)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.ASCII | re.DOTALL)


def clip(text: str, maximum: int) -> str:
    """The first `maximum` characters of `text`, with an ellipsis if there are more."""
    return text if len(text) <= maximum else f"{text[:maximum]}..."


class AmbiguousJson(ValueError):
    """A member is repeated, or a number is NaN or infinite."""


def strict_json_decoder(
    *, parse_int: Callable[[str], Any] | None = None, parse_float: Callable[[str], Any] | None = None
) -> json.JSONDecoder:
    """A decoder that raises AmbiguousJson, or ValueError for a text that is not JSON."""
    return json.JSONDecoder(
        object_pairs_hook=_members, parse_constant=_no_constant, parse_int=parse_int, parse_float=parse_float
    )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise AmbiguousJson("a member is named twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise AmbiguousJson(f"{name} is not JSON")


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
