"""What an event of the players' change stream says about the board."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from tornado_app.core.interfaces import Change
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.players import write_marker
from tornado_app.mongo.players.cache import PROFILE
from tornado_app.mongo.players.documents import milliseconds
from tornado_app.mongo.players.write_marker import Kind, WriteMarker

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
"""What is needed of an event; the rest of a document stays in the database."""

_PLACE = frozenset({"score", "updatedAt", "hidden"})
"""What decides a player's place: a write that changes it and leaves no marker is not one of ours."""


class HistoryLost(Exception):
    """The stream can't say what happened; only a new snapshot can. The message is the reason, for log and metric."""


class EventDecoder:
    """Reads events in their order. It remembers who was erased until the delete that follows is seen."""

    def __init__(self) -> None:
        self._erased: set[str] = set()

    def change(self, event: Mapping[str, Any]) -> Change | None:
        """What an event says; None where it does not concern the board. Raises HistoryLost where it can't tell."""
        kind, player = event["operationType"], event.get("documentKey", {}).get("_id", "")
        if not isinstance(player, str):
            return None  # somebody else's document
        if kind == "update":
            return self._update(event, event["updateDescription"])
        if kind == "insert":
            return self._insert(event, event.get("fullDocument") or {})
        if kind == "delete" and player in self._erased:
            self._erased.discard(player)
            return None
        raise HistoryLost(kind)

    def _insert(self, event: Mapping[str, Any], document: Mapping[str, Any]) -> Change | None:
        """Whether it is on the board is what `documents.ON_BOARD` says of it."""
        moment = document.get("updatedAt")
        if document.get("hidden") is True or not isinstance(moment, datetime) or not 1970 <= moment.year < 9999:
            return None
        return _change(event, document, None, _score(document), _op(document.get("last")))

    def _update(self, event: Mapping[str, Any], description: Mapping[str, Any]) -> Change | None:
        fields = description.get("updatedFields") or {}
        if "last" in fields:
            return self._marked(event, fields, _marker(fields["last"]))
        touched = {*fields, *(description.get("removedFields") or ())}
        if not touched.isdisjoint(_PLACE):
            raise HistoryLost("external_write")
        if not touched.isdisjoint(PROFILE):
            return _change(event, fields, None, None)
        return None

    def _marked(self, event: Mapping[str, Any], fields: Mapping[str, Any], marker: WriteMarker) -> Change | None:
        if marker.kind is Kind.ERASE:
            self._erased.add(event["documentKey"]["_id"])
        if not marker.on_board:
            return None
        if marker.kind is Kind.PROFILE:
            return _change(event, fields, None, None)
        if marker.kind in (Kind.HIDE, Kind.ERASE):
            return _change(event, fields, marker.points, None)
        if marker.kind is Kind.SHOW:
            return _change(event, fields, None, marker.points)
        if marker.kind in (Kind.ACTION, Kind.TAKE_BACK):
            if "score" not in fields:
                raise HistoryLost("external_write")
            score = _score(fields)
            return _change(event, fields, None if score is None else score - marker.points, score, marker.write_id)
        return None


def _score(fields: Mapping[str, Any]) -> int | None:
    """The score; None, which is off the board, where somebody else put what is no integer."""
    score = fields.get("score")
    return score if isinstance(score, int) and not isinstance(score, bool) else None


def _marker(text: Any) -> WriteMarker:
    try:
        return write_marker.decode(text)
    except (msgspec.DecodeError, TypeError):
        raise HistoryLost("external_write") from None


def _op(text: Any) -> str:
    """Which write of ours a new document comes from; somebody else's need not have a marker."""
    try:
        return write_marker.decode(text).write_id
    except (msgspec.DecodeError, TypeError):
        return ""


def _change(
    event: Mapping[str, Any], fields: Mapping[str, Any], old: int | None, new: int | None, write_id: str = ""
) -> Change:
    return Change(
        user_id=event["documentKey"]["_id"],
        old=None if old is None else int(old),  # past 31 bits it is BSON's Int64, which no encoder takes
        new=None if new is None else int(new),
        version=cluster_time_to_int(event["clusterTime"]),
        at=_moment(fields.get("updatedAt")),
        write_id=write_id,
    )


def _moment(value: Any) -> int:
    return milliseconds(value) or 0 if isinstance(value, datetime) else 0
