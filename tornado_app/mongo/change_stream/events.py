"""Events of the players' change stream, each decoded once: for the player cache, the board and the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from bson import Timestamp
from msgspec import UNSET, UnsetType

from tornado_app.core.interfaces import Change
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.players.cache import PROFILE
from tornado_app.mongo.players.documents import milliseconds, score_of
from tornado_app.mongo.players.write_marker import Kind, WriteMarker, marker_of

WATCHED: list[Mapping[str, Any]] = [
    {
        "$project": {
            "operationType": 1,
            "documentKey": 1,
            "clusterTime": 1,
            **{f"fullDocument.{name}": 1 for name in ("score", "updatedAt", "last", "hidden")},
            "updateDescription.removedFields": 1,
            **{
                f"updateDescription.updatedFields.{name}": 1
                for name in ("score", "updatedAt", "last", "hidden", *PROFILE)
            },
        }
    }
]
"""The pipeline of every change stream of the players. An event's `_id`, its resume token, is always included."""

KINDS = ("insert", "update", "replace", "delete")
"""Events of one document. Any other event (drop, rename, invalidate …) ends the history."""

_RANKED = frozenset({"score", "updatedAt", "hidden"})
"""Members that decide a player's rank. A write that changes one of them without a marker is external."""


class HistoryLost(Exception):
    """The stream cannot say what happened; a new snapshot is needed. The message is the reason, for log and metric."""


class PlayerEvent(msgspec.Struct, frozen=True):
    """One event of one player's document. A member that the event does not set is UNSET.

    `version` and `time` are its cluster time: as an integer, and as milliseconds since the epoch. `touched`: the
    watched members that it sets or removes. `last`: the stored marker, as it is; `marker`: the same decoded, None where
    the service did not write it. `score`: None where it is no integer. `updated_at`: None where it is no date.
    `token`: the event's resume token.
    """

    kind: str
    player: str
    version: int
    time: int
    touched: frozenset[str] = frozenset()
    last: Any = UNSET
    marker: WriteMarker | None = None
    score: int | UnsetType | None = UNSET
    updated_at: datetime | None = None
    hidden: bool = False
    token: Mapping[str, Any] | None = None


def decode(event: Mapping[str, Any]) -> PlayerEvent | None:
    """The event; None for a document whose `_id` is no text. Raises HistoryLost for an event of the collection."""
    kind = event["operationType"]
    if kind not in KINDS:
        raise HistoryLost(kind)
    player = event["documentKey"]["_id"]
    if not isinstance(player, str):
        return None
    fields, touched = _fields(event)
    moment: Timestamp = event["clusterTime"]
    last, updated_at = fields.get("last", UNSET), fields.get("updatedAt")
    return PlayerEvent(
        kind,
        player,
        cluster_time_to_int(moment),
        int(moment.time) * 1000,
        touched,
        last,
        None if last is UNSET else marker_of(last),
        score_of(fields) if "score" in fields else UNSET,
        updated_at if isinstance(updated_at, datetime) else None,
        fields.get("hidden") is True,
        event.get("_id"),
    )


def _fields(event: Mapping[str, Any]) -> tuple[Mapping[str, Any], frozenset[str]]:
    """The members that an event sets, and the names of these and of those that it removes."""
    description = event.get("updateDescription")
    if description is None:
        fields = event.get("fullDocument") or {}
        return fields, frozenset(fields)
    fields = description.get("updatedFields") or {}
    return fields, frozenset((*fields, *(description.get("removedFields") or ())))


class BoardChanges:
    """Derives changes of the board from events, which come in their order.

    Remembers erased players until the delete that follows the erasure.
    """

    def __init__(self) -> None:
        self._erased: set[str] = set()

    def change(self, event: PlayerEvent) -> Change | None:
        """The change; None where the event does not concern the board. Raises HistoryLost where it cannot be told."""
        if event.kind == "update":
            return self._update(event)
        if event.kind == "insert":
            return _insert(event)
        if event.kind == "delete" and event.player in self._erased:
            self._erased.discard(event.player)
            return None
        raise HistoryLost(event.kind)

    def _update(self, event: PlayerEvent) -> Change | None:
        if event.last is not UNSET:
            return self._marked(event)
        if not event.touched.isdisjoint(_RANKED):
            raise HistoryLost("external_write")
        if not event.touched.isdisjoint(PROFILE):
            return _change(event, None, None)
        return None

    def _marked(self, event: PlayerEvent) -> Change | None:
        marker = event.marker
        if marker is None:
            raise HistoryLost("external_write")
        if marker.kind is Kind.ERASE:
            self._erased.add(event.player)
        if not marker.on_board:
            return None
        if marker.kind is Kind.PROFILE:
            return _change(event, None, None)
        if marker.kind in (Kind.HIDE, Kind.ERASE):
            return _change(event, marker.points, None)
        if marker.kind is Kind.SHOW:
            return _change(event, None, marker.points)
        if marker.kind in (Kind.ACTION, Kind.TAKE_BACK):
            if event.score is UNSET:
                raise HistoryLost("external_write")
            old = None if event.score is None else event.score - marker.points
            return _change(event, old, event.score, marker.write_id)
        return None


def _insert(event: PlayerEvent) -> Change | None:
    """None for a document that `documents.ON_BOARD` excludes."""
    moment = event.updated_at
    if event.hidden or moment is None or not 1970 <= moment.year < 9999:
        return None
    score = None if event.score is UNSET else event.score
    return _change(event, None, score, "" if event.marker is None else event.marker.write_id)


def _change(event: PlayerEvent, old: int | None, new: int | None, write_id: str = "") -> Change:
    return Change(
        user_id=event.player,
        old=old,
        new=new,
        version=event.version,
        at=milliseconds(event.updated_at) or 0,
        write_id=write_id,
    )
