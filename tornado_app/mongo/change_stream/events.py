"""Events of the players' change stream, each decoded once: for the player cache, the board and the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from bson import Timestamp
from msgspec import UNSET, UnsetType

from tornado_app.core.history import HistoryEntry, WriteKind
from tornado_app.core.history import decode as decode_entry
from tornado_app.core.interfaces import Change
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.players.documents import PROFILE, milliseconds, score_of

WATCHED: list[Mapping[str, Any]] = [
    {
        "$project": {
            "operationType": 1,
            "documentKey": 1,
            "clusterTime": 1,
            **{f"fullDocument.{name}": 1 for name in ("score", "updatedAt", "seq", "h", "hidden")},
            "updateDescription.removedFields": 1,
            "updateDescription.updatedFields": 1,
        }
    }
]
"""The pipeline of every change stream of the players. An event's `_id`, its resume token, is always included."""

KINDS = ("insert", "update", "replace", "delete")
"""Events of one document. Any other event (drop, rename, invalidate …) ends the history."""

_RANKED = frozenset({"score", "updatedAt", "hidden"})
"""Members that determine a player's rank. A write that changes one of them without a history entry is external."""

_ADDING = (WriteKind.ACTION, WriteKind.TAKE_BACK)
"""Kinds of writes whose points are added to the score."""


class HistoryLost(Exception):
    """The stream does not show all changes; a new snapshot is needed. The message is the reason, for log and metric."""


class PlayerEvent(msgspec.Struct, frozen=True):
    """One event of one player's document. A member that the event does not set is UNSET.

    `version` and `time` are its cluster time: as an integer, and as milliseconds since the epoch. `touched`: the
    members that it sets or removes. `seq`: None if it is not set, or is not an integer. `entries`: the history entries
    that the write added, oldest first; none if the service did not make the write. `score`: None if it is not an
    integer. `updated_at`: None if it is not a date. `token`: the event's resume token.
    """

    kind: str
    player: str
    version: int
    time: int
    touched: frozenset[str] = frozenset()
    seq: int | None = None
    entries: tuple[HistoryEntry, ...] = ()
    score: int | UnsetType | None = UNSET
    updated_at: datetime | None = None
    hidden: bool = False
    token: Mapping[str, Any] | None = None

    @property
    def points(self) -> int:
        """The points that the write added to the score."""
        return sum([entry.added for entry in self.entries])


def decode(event: Mapping[str, Any]) -> PlayerEvent | None:
    """The event; None for a document whose `_id` is not text. Raises HistoryLost for an event of the collection."""
    kind = event["operationType"]
    if kind not in KINDS:
        raise HistoryLost(kind)
    player = event["documentKey"]["_id"]
    if not isinstance(player, str):
        return None
    description = event.get("updateDescription")
    if description is None:
        fields = event.get("fullDocument") or {}
        touched = frozenset(fields)
    else:
        fields = description.get("updatedFields") or {}
        touched = frozenset((*fields, *(description.get("removedFields") or ())))
    moment: Timestamp = event["clusterTime"]
    seq, updated_at = fields.get("seq"), fields.get("updatedAt")
    seq = int(seq) if isinstance(seq, int) and not isinstance(seq, bool) else None
    return PlayerEvent(
        kind,
        player,
        cluster_time_to_int(moment),
        int(moment.time) * 1000,
        touched,
        seq,
        _entries(kind, fields, seq),
        score_of(fields) if "score" in fields else UNSET,
        updated_at if isinstance(updated_at, datetime) else None,
        fields.get("hidden") is True,
        event.get("_id"),
    )


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
    """Derives changes of the board from events, which come in their order.

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

    def _update(self, event: PlayerEvent) -> Change | None:
        if event.entries:
            return self._written(event)
        if "seq" in event.touched or not event.touched.isdisjoint(_RANKED):
            raise HistoryLost("external_write")
        if not event.touched.isdisjoint(PROFILE):
            return _change(event, None, None)
        return None

    def _written(self, event: PlayerEvent) -> Change | None:
        last = event.entries[-1]
        if last.kind == WriteKind.ERASE:
            self._erased.add(event.player)
        if not last.on_board:
            return None
        if last.kind == WriteKind.PROFILE:
            return _change(event, None, None)
        if last.kind in (WriteKind.HIDE, WriteKind.ERASE):
            return _change(event, last.points, None)
        if last.kind == WriteKind.SHOW:
            return _change(event, None, last.points)
        if last.kind in _ADDING:
            if event.score is UNSET:
                raise HistoryLost("external_write")
            old = None if event.score is None else event.score - event.points
            return _change(event, old, event.score)
        return None


def _insert(event: PlayerEvent) -> Change | None:
    """None for a document that `documents.ON_BOARD` excludes."""
    moment = event.updated_at
    if event.hidden or moment is None or not 1970 <= moment.year < 9999:
        return None
    return _change(event, None, None if event.score is UNSET else event.score)


def _change(event: PlayerEvent, old: int | None, new: int | None) -> Change:
    added = new is not None and event.entries and event.entries[-1].kind != WriteKind.SHOW
    return Change(
        user_id=event.player,
        old=old,
        new=new,
        version=event.version,
        at=milliseconds(event.updated_at) or 0,
        write_ids=tuple([entry.write_id for entry in event.entries]) if added else (),
    )
