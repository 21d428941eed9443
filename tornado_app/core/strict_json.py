"""JSON without what two parsers could read in two ways: repeated members, NaN and Infinity. Source: RFC 8259."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn


class AmbiguousJson(ValueError):
    """A member is repeated, or a number is NaN or infinite."""


def decoder(
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
