"""A player's document, and the one update that changes it.

    players: {_id, seq, score?, updatedAt, h: {<seq>: <entry>}, createdAt, username?, avatarUrl?, ownUsername?,
              ownAvatarUrl?, metadata?, w?: {<period>: {e, s?, t, p?: [[e, s, t]]}}, suspended?, hidden?, erased?,
              copying?, record?}

On a board of the rule best or last, a player without a score has no member `score`, and is not on the board.
`updatedAt` is when the score was reached, and `metadata` is what came with it: a JSON object as a text. `seq` grows by
one with each write of the service, of any kind; an update is made on the condition that the document still has the
`seq` that it was decided from. `h` is the history: one text for each write (core/history.py), removed
once it is old. `username` and `avatarUrl` are the token's; `ownUsername` and `ownAvatarUrl` are the player's own choice
and win, also where they are null, which shows none. `w`: slots of periods (core/slots.py): epoch, score, when it was
reached, and the earlier epochs. `erased`: an erasure has begun (erasure.py). `copying` and `record` are those of
records.py. A document without score, `seq` and `h` is a placeholder: the player's first write on this board is under
way, or was refused. Source: docs/decisions.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from tornado_app.core.boards import MAIN, MAX_BOARDS, NAME_PATTERN, Order
from tornado_app.core.decide import PlayerState
from tornado_app.core.errors import DatabaseError
from tornado_app.core.history import EMPTY, History, HistoryEntry, WriteKind, decode, encode
from tornado_app.core.model import MAX_SCORE, Player, Profile, utc_datetime
from tornado_app.core.slots import EpochScore, Slot, find

Document = dict[str, Any]

PROFILE = ("username", "avatarUrl", "ownUsername", "ownAvatarUrl")
"""The members of a player's profile: of the token, and the player's own choice, which wins."""


def collection_of(board: str) -> str:
    """The name of the collection with a board's players."""
    return "players" if board == MAIN.name else f"players.{board}"


COLLECTIONS = rf"^players(\.{NAME_PATTERN})?$"
"""A regular expression for the names of all boards' collections, for MongoDB too."""

_IS_COLLECTION = re.compile(COLLECTIONS[:-1]).fullmatch  # `$` would also match before a line break at the end


@lru_cache(maxsize=2 * MAX_BOARDS)
def board_of(collection: str) -> str | None:
    """The board with this collection; None if it is not the collection of a board."""
    if _IS_COLLECTION(collection) is None:
        return None
    board = collection.partition(".")[2] or MAIN.name
    return board if collection_of(board) == collection else None


class ViewFields(NamedTuple):
    """The members of a player's document that a view shows: all time, or a period, which has `epoch`."""

    score: str = "score"
    at: str = "updatedAt"
    epoch: str | None = None
    period: str | None = None

    @classmethod
    def of(cls, period: str | None) -> ViewFields:
        """Those of a period; None: all time."""
        return cls() if period is None else cls(f"w.{period}.s", f"w.{period}.t", f"w.{period}.e", period)

    def order(self, order: Order = Order.DESCENDING) -> list[tuple[str, int]]:
        """Better score first; among equals, the player that reached it first; then the user id."""
        return [(self.score, -1 if order is Order.DESCENDING else 1), (self.at, 1), ("_id", 1)]

    @property
    def ranges(self) -> Document:
        """Scores and times that the view can show. A range matches values of its own type only, but also the members
        of an array."""
        return {
            self.score: {"$gte": -MAX_SCORE - 1, "$lte": MAX_SCORE},
            self.at: {"$gte": datetime(1970, 1, 1, tzinfo=UTC), "$lt": datetime(9999, 1, 1, tzinfo=UTC)},
        }

    def shown(self, epoch: int | None = None) -> Document:
        """Which players the view shows, of a period in this epoch: a malformed document of another program must not
        stop the service."""
        return {
            **({} if self.epoch is None else {self.epoch: epoch}),
            "hidden": {"$ne": True},
            **self.ranges,
            "$nor": [
                *({self.score: {"$type": kind}} for kind in ("double", "decimal", "array")),
                {self.at: {"$type": "array"}},
                {"_id": {"$not": {"$type": "string"}}},
            ],
        }

    @property
    def read(self) -> Document:
        """The fields that `player` reads."""
        metadata = {"metadata": 1} if self.period is None else {}  # it came with the score of all time
        return {self.score: 1, self.at: 1, **metadata, **dict.fromkeys(PROFILE, 1)}

    def player(self, document: Document, version: int = 0) -> Player:
        """A document as a player; the score as int, because encoders do not accept BSON's Int64."""
        user_id, metadata = document["_id"], document.get("metadata")
        if self.period is None:
            score, at = document["score"], document.get("updatedAt")
        else:
            slot = document["w"][self.period]
            score, at = slot["s"], slot["t"]
        return Player(
            user_id=user_id,
            score=int(score),
            updated_at=milliseconds(at) or 0,
            username=document.get("ownUsername", document.get("username")) or user_id,
            avatar_url=document.get("ownAvatarUrl", document.get("avatarUrl")),
            version=version,
            metadata=metadata if isinstance(metadata, str) else None,
        )


ALL_TIME_FIELDS = ViewFields()
BOARD_ORDER = ALL_TIME_FIELDS.order()
ON_BOARD = ALL_TIME_FIELDS.shown()
PLAYER_FIELDS = ALL_TIME_FIELDS.read
player = ALL_TIME_FIELDS.player


STATE_FIELDS: Document = dict.fromkeys(
    ("score", "updatedAt", "metadata", "seq", "h", "w", "suspended", "hidden", "erased"), 1
)
"""The fields that `state_of` reads."""

_LAST_ENTRY: Document = {
    "$first": {
        "$filter": {
            "input": {"$cond": [{"$eq": [{"$type": "$h"}, "object"]}, {"$objectToArray": "$h"}, []]},
            "cond": {"$eq": ["$$this.k", {"$convert": {"input": "$seq", "to": "string", "onError": None}}]},
        }
    }
}

BALANCE_FIELDS: Document = {"score": 1, "last": _LAST_ENTRY}
"""The fields that `last_entry` and `balance_of` read."""


MAX_SEQ = 2**53
"""No player has so many writes; another program wrote such a number."""


class MalformedDocument(DatabaseError):
    """A player's document that another program changed, so that no write can be decided from it."""

    def __init__(self, member: str) -> None:
        super().__init__(
            "The player's record is damaged. Only an operator can repair it.",
            reason="malformed_document",
            detail=f"another program changed the member {member!r} of the player's document",
        )


def state_of(document: Mapping[str, Any]) -> PlayerState:
    """The state of a player. Raises MalformedDocument if no write can be decided from it."""
    score = score_of(document)
    if score is None and "score" in document:
        raise MalformedDocument("score")
    seq, stored = document.get("seq"), document.get("h", {})
    if not isinstance(stored, dict):
        raise MalformedDocument("h")
    if seq is None and not stored:
        return _state(document, 0 if score is None else 1, score, EMPTY, versioned=False)
    if not isinstance(seq, int) or isinstance(seq, bool) or not 0 < seq < MAX_SEQ:
        raise MalformedDocument("seq")
    return _state(document, int(seq), score, _history(stored, int(seq)), versioned=True)


def _state(
    document: Mapping[str, Any], seq: int, score: int | None, history: History, *, versioned: bool
) -> PlayerState:
    for name in ("suspended", "hidden"):
        if isinstance(document.get(name), list):  # no condition holds for it
            raise MalformedDocument(name)
    suspended, hidden, erased = (document.get(name) is True for name in ("suspended", "hidden", "erased"))
    updated_at = document.get("updatedAt")
    reached = milliseconds(updated_at) if isinstance(updated_at, datetime) else None
    metadata = "metadata" in document
    slots = _slots(document["w"]) if "w" in document else ()
    return PlayerState(seq, score, suspended, hidden, erased, versioned, history, reached or 0, metadata, slots)


def _slots(stored: Any) -> tuple[Slot, ...]:
    """The slots of periods. Raises MalformedDocument."""
    try:
        slots = msgspec.convert(stored, dict[str, _StoredSlot], from_attributes=False)
    except msgspec.ValidationError:
        raise MalformedDocument("w") from None
    return tuple(
        [
            Slot(
                period,
                slot.e,
                slot.s,
                milliseconds(slot.t) or 0,
                tuple([EpochScore(epoch, score, milliseconds(at) or 0) for epoch, score, at in slot.p]),
            )
            for period, slot in slots.items()
        ]
    )


class _StoredSlot(msgspec.Struct):
    """The stored form of a slot."""

    e: int
    t: datetime
    s: int | None = None
    p: list[tuple[int, int, datetime]] = []


def slot_document(slot: Slot) -> Document:
    """The stored form of a slot."""
    document: Document = {"e": slot.epoch, "t": utc_datetime(slot.at)}
    if slot.score is not None:
        document["s"] = slot.score
    if slot.earlier:
        document["p"] = [[each.epoch, each.score, utc_datetime(each.at)] for each in slot.earlier]
    return document


def _history(stored: Mapping[str, Any], seq: int) -> History:
    """The history. A member that is no entry up to `seq` is ignored; the next write removes it if it is a number."""
    newest_first: Sequence[int] = range(seq, seq - len(stored), -1)
    texts = [stored.get(str(number)) for number in newest_first]
    if None in texts or len(stored) > seq:  # there are gaps, or members that are no entries
        newest_first = sorted([int(key) for key in stored if _NUMBER(key)], reverse=True)
        texts = [stored[str(number)] if number <= seq else None for number in newest_first]
    return History.of(newest_first, [decode(text) or _NO_ENTRY for text in texts])


_NUMBER = re.compile("0|[1-9][0-9]{0,15}").fullmatch
"""A number as the service writes it; `MAX_SEQ` has sixteen digits."""

_NO_ENTRY = HistoryEntry(WriteKind.SUSPEND, 0, "")


def condition(user_id: str, state: PlayerState | None, fence: int | None = None) -> Document:
    """The filter that matches a player's document only while it is in this state; None: while there is no document.

    `fence`: a time of the database in milliseconds, from which on the filter matches no player.
    """
    if state is None:
        return {"_id": user_id, "seq": {"$exists": False}, "score": {"$exists": False}}
    fenced = {} if fence is None else {"$expr": _before(fence)}
    return {
        "_id": user_id,
        "seq": state.seq if state.versioned else {"$exists": False},
        # `seq` alone is not enough, because other programs may write to the database
        "score": {"$exists": False} if state.score is None else state.score,
        "suspended": True if state.suspended else {"$ne": True},
        "hidden": True if state.hidden else {"$ne": True},
        **fenced,
    }


def _before(fence: int) -> Document:
    return {"$lt": ["$$NOW", utc_datetime(fence)]}


FENCED = 241
"""Error code of an update by `fenced_creation` after the fence: ConversionFailure."""


def fenced_creation(change: Document, fence: int) -> list[Document]:
    """The `update` of a new player as one that fails at `fence`: an upsert's filter can have no expression."""
    values = {name: {"$literal": value} for name, value in {**change["$set"], **change.get("$inc", {})}.items()}
    late = {"$toInt": {"$concat": ["late, ", "$_id"]}}  # with a constant, the server would fail before the fence, too
    return [{"$set": {**values, "seq": {"$cond": [_before(fence), values["seq"], late]}}}]


def update(
    state: PlayerState | None,
    entries: Sequence[HistoryEntry],
    *,
    expired: Sequence[int] = (),
    fields: Mapping[str, Any] | None = None,
    removed: Sequence[str] = (),
    slots: Sequence[Slot] = (),
) -> Document:
    """The update that adds entries to the history of a player in this state, newest last; None: of a new player.

    Their points are added to the score; `fields` are set; the members `removed` and the entries `expired` are unset.
    `slots`: those after the write.
    """
    points = sum([entry.added for entry in entries])
    seq = 0 if state is None else state.seq
    new_fields: Document = dict(fields or {})
    for number, entry in enumerate(entries, start=seq + 1):
        new_fields[f"h.{number}"] = encode(entry)
    increments = {"score": points} if points and "score" not in removed else {}
    if state is not None and state.versioned:
        increments["seq"] = len(entries)
    else:
        new_fields["seq"] = seq + len(entries)
    change: Document = {"$set": new_fields}
    for slot in slots:
        _set_slot(slot, None if state is None else find(state.slots, slot.period), new_fields, increments)
    if not points and (state is None or state.score is None) and entries[0].kind == WriteKind.ACTION:
        new_fields["score"] = 0
    if increments:
        change["$inc"] = increments
    unset = [*(f"h.{number}" for number in expired if not seq < number <= seq + len(entries)), *removed]
    if unset:
        change["$unset"] = dict.fromkeys(unset, "")
    return change


def _set_slot(after: Slot, before: Slot | None, fields: Document, increments: dict[str, int]) -> None:
    """Add what changes a slot to the fields that an update sets, and to its increments."""
    if after == before:
        return
    name = f"w.{after.period}"
    kept = before is not None and (before.epoch, before.earlier) == (after.epoch, after.earlier)
    if before is None or before.score is None or after.score is None or not kept:
        fields[name] = slot_document(after)
        return
    fields[f"{name}.t"] = utc_datetime(after.at)
    increments[f"{name}.s"] = after.score - before.score


def profile_fields(profile: Profile) -> Document:
    """The members of a profile that are given, under their stored names."""
    fields = {"username": profile.username, "avatarUrl": profile.avatar_url}
    return {name: value for name, value in fields.items() if value is not None}


def milliseconds(moment: datetime | None) -> int | None:
    """Milliseconds since the epoch; BSON keeps no more. Raw command replies carry naive times, which are UTC."""
    if moment is None:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def score_of(fields: Mapping[str, Any]) -> int | None:
    """The score as int; None if it is not an integer, which another program wrote."""
    score = fields.get("score")
    return int(score) if isinstance(score, int) and not isinstance(score, bool) else None


def balance_of(document: Mapping[str, Any]) -> int | None:
    """The score as the sum of the player's ledger entries: 0 without a score, if the service wrote the document."""
    return score_of(document) if "score" in document or last_entry(document) is None else 0


def last_entry(document: Mapping[str, Any]) -> HistoryEntry | None:
    """The entry of the last write, of a document read with `BALANCE_FIELDS`; None if the service did not write it."""
    last = document.get("last")
    return decode(last.get("v")) if isinstance(last, dict) else None
