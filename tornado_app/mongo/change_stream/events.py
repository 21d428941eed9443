"""Events of the players' change stream, each decoded once: for the player cache, the board and the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tornado_app.core.boards import MAIN
from tornado_app.core.history import HistoryEntry, WriteKind
from tornado_app.core.history import decode as decode_entry
from tornado_app.core.interfaces import Change
from tornado_app.core.slots import SlotChange
from tornado_app.core.versions import seconds_of
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.documents import board_of, milliseconds, score_of

KINDS = ("insert", "update", "replace", "delete")
"""Events of one document."""

WATCHED: list[Mapping[str, Any]] = [
    {
        "$match": {
            # The server applies this one while it reads the oplog; without it, each ledger entry would become an event.
            "$nor": [{"ns.coll": "ledger", "operationType": {"$in": KINDS}}],
            # `players`, and all names that begin with `players.`. A regular expression costs more (docs/decisions.md).
            "$or": [{f"{name}.coll": {"$gte": "players", "$lt": "players/"}} for name in ("ns", "to")],
        }
    },
    {
        "$project": {
            "ns.coll": 1,
            "to.coll": 1,
            "operationType": 1,
            "documentKey": 1,
            "clusterTime": 1,
            **{f"fullDocument.{name}": 1 for name in ("score", "updatedAt", "seq", "h", "w", "hidden")},
            "updateDescription.removedFields": 1,
            "updateDescription.updatedFields": 1,
        }
    },
]
"""The pipeline of every change stream, which is one of the database: the events of all boards' collections, and of some
that are of no board. An event's `_id`, its resume token, is always included."""

_ENDS = ("drop", "rename")
"""Events after which a board has lost its history. Any other event (invalidate …) ends that of all boards."""

SCORE, SEQ, RANKED, PROFILE, OTHER, METADATA, SLOTS, CREATED = 1, 2, 4, 8, 16, 32, 64, 128
"""Which members of a document an event touches, as bits. RANKED: the others that determine a player's rank. CREATED:
`createdAt`, which the first write of a player on the board sets."""

_TOUCHED = {
    "score": SCORE,
    "seq": SEQ,
    "updatedAt": RANKED,
    "hidden": RANKED,
    "metadata": METADATA,
    "w": SLOTS,
    "createdAt": CREATED,
    **dict.fromkeys(documents.PROFILE, PROFILE),
}

_SCORING = (WriteKind.ACTION, WriteKind.REGISTER, WriteKind.TAKE_BACK)
"""Kinds of writes after which the player has another score, or the first one."""


_TIMES = range(253_370_764_800_000)
"""Milliseconds from 1970 until the year 9999: the times of players on the board."""


class HistoryLost(Exception):
    """The stream does not show all changes; a new snapshot is needed. The message is the reason, for log and metric."""


class PlayerEvent(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """One event of one player's document on a board, or of the board's collection, without a player.

    `version`: its cluster time as an integer. `touched`: bits of the members that it sets or removes. `seq`: None if
    it is not set, or is not an integer. `entries`: the history entries that the write added, oldest first; none if the
    service did not make the write. `score`: None if it is not set, or is not an integer. `updated_at`: milliseconds
    since the epoch; None if it is not set, or is not a date. A take-back of a player's only action removes the score.
    `slots`: what the write changed in the periods of the board.
    """

    kind: str
    player: str
    version: int
    touched: int = 0
    seq: int | None = None
    entries: tuple[HistoryEntry, ...] = ()
    score: int | None = None
    updated_at: int | None = None
    hidden: bool = False
    board: str = MAIN.name
    slots: tuple[SlotChange, ...] = ()

    @property
    def ends_history(self) -> bool:
        """Whether the board's collection is another one afterwards, or gone."""
        return self.kind in _ENDS

    @property
    def time(self) -> int:
        """Its cluster time, in milliseconds since the epoch."""
        return seconds_of(self.version) * 1000

    @property
    def points(self) -> int:
        """The points that the write added to the score."""
        return sum([entry.added for entry in self.entries])


def decode(event: Mapping[str, Any]) -> PlayerEvent | None:
    """The event of a board; None for a document whose `_id` is not text, and for a collection of no board.

    Raises HistoryLost for an event after which the history of several boards is lost.
    """
    kind = event["operationType"]
    if kind not in KINDS:
        return _collection_event(kind, event)
    board = board_of(event["ns"]["coll"])
    if board is None:
        return None
    player = event["documentKey"]["_id"]
    if not isinstance(player, str):
        return None
    description = event.get("updateDescription")
    removed: Sequence[str] = ()
    if description is None:
        fields = event.get("fullDocument") or {}
    else:
        fields = description.get("updatedFields") or {}
        removed = description.get("removedFields") or ()
    touched = 0
    for name in (*fields, *removed):
        touched |= _TOUCHED.get(name, SLOTS if name.startswith("w.") else OTHER)
    seq, updated_at = fields.get("seq"), fields.get("updatedAt")
    seq = int(seq) if isinstance(seq, int) and not isinstance(seq, bool) else None
    entries = _entries(kind, fields, seq)
    if "score" in removed and entries and entries[-1].kind != WriteKind.TAKE_BACK:
        entries = ()  # no other write of the service removes the score
    return PlayerEvent(
        kind,
        player,
        cluster_time_to_int(event["clusterTime"]),
        touched,
        seq,
        entries,
        score_of(fields),
        milliseconds(updated_at) if isinstance(updated_at, datetime) else None,
        fields.get("hidden") is True,
        board,
        _slot_changes(entries, fields) if entries and entries[-1].slots else (),
    )


def _slot_changes(entries: Sequence[HistoryEntry], fields: Mapping[str, Any]) -> tuple[SlotChange, ...]:
    """What a write with these entries changed in periods; `fields` are those that it set."""
    kind = entries[-1].kind
    if kind in (WriteKind.HIDE, WriteKind.ERASE):
        return tuple([SlotChange(slot.period, slot.epoch, slot.score, None, 0) for slot in entries[-1].slots])
    if kind == WriteKind.SHOW:
        return tuple([SlotChange(slot.period, slot.epoch, None, slot.score, 0) for slot in entries[-1].slots])
    before: dict[tuple[str, int], int | None] = {}
    for entry in entries:
        for slot in entry.slots:
            before.setdefault((slot.period, slot.epoch), slot.score)
    return tuple([SlotChange(*place, old, *_slot_after(*place, old, fields)) for place, old in before.items()])


def _slot_after(period: str, epoch: int, old: int | None, fields: Mapping[str, Any]) -> tuple[int | None, int]:
    """The score of a slot after a write, and when it was reached, or 0 if that is as before."""
    stored = fields.get(f"w.{period}")
    if stored is None and isinstance(every := fields.get("w"), dict):
        stored = every.get(period)
    if stored is None:
        at = fields.get(f"w.{period}.t")
        return fields.get(f"w.{period}.s", old), (milliseconds(at) or 0) if isinstance(at, datetime) else 0
    if stored.get("e") != epoch:  # a take-back in an earlier epoch
        return old, 0
    return score_of({"score": stored.get("s")}), milliseconds(stored.get("t")) or 0


def _collection_event(kind: str, event: Mapping[str, Any]) -> PlayerEvent | None:
    if kind not in _ENDS:
        raise HistoryLost(kind)
    names = (event[member]["coll"] for member in ("ns", "to") if member in event)
    boards = [board for name in names if (board := board_of(name)) is not None]
    if len(boards) > 1:  # one was renamed to the other
        raise HistoryLost(kind)
    return PlayerEvent(kind, "", cluster_time_to_int(event["clusterTime"]), board=boards[0]) if boards else None


def _entries(kind: str, fields: Mapping[str, Any], seq: int | None) -> tuple[HistoryEntry, ...]:
    """The entries that a write added, of which the last has the number `seq`.

    They are members `h.<number>`, or those of `h` if the document had none before. An inserted document contains the
    whole history; if its beginning is missing, another program inserted a copy, and only the last entry counts.
    """
    if seq is None or kind == "replace":  # the service replaces no document
        return ()
    history, prefix = fields.get("h"), ""
    if history is None:
        history, prefix = fields, "h."
    elif not isinstance(history, dict):
        return ()
    texts: list[Any] = []
    while (text := history.get(f"{prefix}{seq - len(texts)}")) is not None:
        texts.append(text)
    if kind == "insert" and len(texts) < seq:
        texts = texts[:1]
    entries = tuple([entry for text in reversed(texts) if (entry := decode_entry(text)) is not None])
    return entries if len(entries) == len(texts) else ()


class BoardChanges:
    """Derives changes of one board from its events, which come in their order.

    Remembers erased players until the delete that follows the erasure.
    """

    def __init__(self) -> None:
        self._erased: set[str] = set()

    def change(self, event: PlayerEvent) -> Change | None:
        """The change; None if the event does not concern the board. Raises HistoryLost if the change is unknown."""
        if event.kind == "update":
            return self._update(event)
        if event.kind == "insert":
            return _insert(event)
        if event.kind == "delete" and event.player in self._erased:
            self._erased.discard(event.player)
            return None
        raise HistoryLost(event.kind)

    def skip(self, event: PlayerEvent) -> None:
        """An event that the snapshot of the board includes."""
        if event.entries and event.entries[-1].kind == WriteKind.ERASE:
            self._erased.add(event.player)
        elif event.kind == "delete":
            self._erased.discard(event.player)

    def _update(self, event: PlayerEvent) -> Change | None:
        if event.entries:
            return self._written(event)
        if event.touched & (SCORE | SEQ | RANKED | SLOTS):  # a write of the service has a history entry
            raise HistoryLost("external_write")
        if event.touched & PROFILE:
            return _change(event, None, None)
        return None

    def _written(self, event: PlayerEvent) -> Change | None:
        last = event.entries[-1]
        kind = last.kind
        if kind in _SCORING and last.on_board:
            if event.touched & SCORE:
                return _change(event, _score_before(event), event.score)
            if event.points:
                raise HistoryLost("external_write")
            return _change(event, None, None)
        if kind == WriteKind.ERASE:
            self._erased.add(event.player)
        if not last.on_board:
            return None
        if kind == WriteKind.PROFILE:
            return _change(event, None, None)
        if kind in (WriteKind.HIDE, WriteKind.ERASE):
            return _change(event, last.points, None)
        if kind == WriteKind.SHOW:
            return _change(event, None, last.points)
        return None


def _score_before(event: PlayerEvent) -> int | None:
    """The score before an event that has another score after it; None: the player was not on the board."""
    first, last = event.entries[0], event.entries[-1]
    if event.touched & CREATED or (first.submitted is not None and first.before is None):
        return None
    if event.score is None:  # removed by a take-back; or another program's, which is not on the board
        return -event.points if last.kind == WriteKind.TAKE_BACK else None
    return event.score - event.points


def _insert(event: PlayerEvent) -> Change | None:
    """None for a document that `documents.ON_BOARD` excludes."""
    if event.hidden or event.updated_at is None or event.updated_at not in _TIMES:
        return None
    return _change(event, None, event.score)


def _change(event: PlayerEvent, old: int | None, new: int | None) -> Change:
    write_ids: tuple[str, ...] = ()
    if new is not None and event.entries and event.entries[-1].kind != WriteKind.SHOW:
        write_ids = tuple([entry.write_id for entry in event.entries])
    return Change(event.player, old, new, event.version, event.updated_at or 0, write_ids)
