"""The board from the messages of frontend C's socket, and the changes of each message."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

TYPE, EPOCH_TYPE = "leaderboard.update", "period"


class Place(msgspec.Struct, rename="camel", frozen=True):
    """A position of the board, from 1; an empty one has no `user_id`."""

    position: int
    user_id: str | None = None
    username: str | None = None
    score: int | None = None
    rank: int | None = None


class _Data(msgspec.Struct, rename="camel", frozen=True):
    updated_positions: list[Place]


class Epoch(msgspec.Struct, frozen=True):
    """The open epoch of a period; `end` None: it is not known. `now`: the service's time when it was sent."""

    period: str
    epoch: int
    end: datetime | None
    now: datetime

    @property
    def left(self) -> float | None:
        """Seconds until the end, when it was sent."""
        return None if self.end is None else (self.end - self.now).total_seconds()


class _Message(msgspec.Struct, frozen=True):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    version: int = 0


class Change(NamedTuple):
    """A changed position.

    `gained`: points since the player was last on the board, None if unknown; `climbed`: positions up, negative is down.
    """

    place: Place
    gained: int | None
    climbed: int


class NotALeaderboard(Exception):
    """A message that is not one of a leaderboard."""


_decode = msgspec.json.Decoder(_Message).decode
_decode_epoch = msgspec.json.Decoder(Epoch).decode
_decode_data = msgspec.json.Decoder(_Data).decode


class Board:
    """The board by position. `seen`: whether a message has arrived."""

    def __init__(self) -> None:
        self.places: dict[int, Place] = {}
        self.seen = False
        self._version = 0
        self._fresh = True

    def reconnected(self) -> None:
        """The next message has the whole board, and counts with any version."""
        self._fresh = True

    def take(self, message: str | bytes) -> list[Change] | Epoch | None:
        """Apply a message; the changes in order of position, the epoch of a message about it, None for any other.

        Raises NotALeaderboard.
        """
        try:
            update = _decode(message)
            if update.type == EPOCH_TYPE:
                return _decode_epoch(message)
            if update.type != TYPE:
                return None
            changed = {place.position: place for place in _decode_data(update.data).updated_positions}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NotALeaderboard(str(error)) from None
        if not self._fresh and update.version < self._version:
            return None  # stale
        return self._changes(changed, update.version)

    def _changes(self, changed: dict[int, Place], version: int) -> list[Change]:
        before = self.places
        after = changed if self._fresh else before | changed
        if self._fresh:
            after = after | {position: Place(position) for position in before if position not in after}
        self.seen, self._fresh, self._version = True, False, version
        self.places = {position: after[position] for position in sorted(after) if after[position].user_id is not None}
        was = {place.user_id: place for place in before.values()}
        return [
            _change(place, was.get(place.user_id))
            for position, place in sorted(after.items())
            if place != before.get(position, Place(position))
        ]


def _change(place: Place, was: Place | None) -> Change:
    if place.user_id is None or was is None or was.score is None or place.score is None:
        return Change(place, None, 0)
    return Change(place, place.score - was.score, was.position - place.position)
