"""The member `last` of a player's document: what the last write did, in one scalar.

A scalar that differs on each write, because v2 update events leave unchanged members of a sub-document out; and whole,
so that an event alone tells the score before, and the ledger needs nothing else. It is a JSON array, in this order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

INT64 = range(-(2**63), 2**63)


class Kind(StrEnum):
    """What a write did."""

    ACTION = "a"
    REGISTER = "r"
    PROFILE = "p"
    TAKE_BACK = "t"
    SUSPEND = "s"
    REINSTATE = "i"
    HIDE = "h"
    SHOW = "u"
    ERASE = "e"


class WriteMarker(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One write of one player.

    `points`: what it added to the score; for hide, show and erase, the score itself. `on_board`: whether the board
    shows the player (for hide, show and erase: did before or does after). `at`: milliseconds since the epoch. `by`: who
    caused it. For an action `id`, `type` and `frontend`; for a moderation `reason`, and the `takes_back` that it takes
    back; for a profile change the `reason` names its members.
    """

    kind: Kind
    points: int
    write_id: str
    on_board: bool = True
    at: int = 0
    by: str = ""
    id: str | None = None
    type: str | None = None
    frontend: str = ""
    reason: str = ""
    takes_back: list[str] = []


_decode = msgspec.json.Decoder(WriteMarker).decode
_encode = msgspec.json.Encoder().encode


def encode(marker: WriteMarker) -> str:
    """The text that is stored."""
    return _encode(marker).decode()


def decode(text: str) -> WriteMarker:
    """The marker of a stored text. Raises msgspec.DecodeError for one that is none of ours."""
    return _decode(text)


def marker_of(text: Any) -> WriteMarker | None:
    """The marker of a player's document; None where it is none of ours."""
    try:
        marker = decode(text)
    except (msgspec.DecodeError, TypeError):
        return None
    return marker if marker.write_id and marker.points in INT64 else None


def with_score(marker: WriteMarker) -> dict[str, Any]:
    """An aggregation expression for `marker` whose points are the document's score, for updates that don't know it."""
    head, tail = encode(msgspec.structs.replace(marker, points=0)).split(",0,", 1)
    return {"$concat": [head + ",", {"$toString": "$score"}, ",", {"$literal": tail}]}
