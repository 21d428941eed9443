"""From an event of the players' change stream to the entries that the ledger has to have for it. Pure.

An event carries the marker of its write (write_marker.py) and, where the score changed, the score after it. The sum of
a player's entries must then be that score: where it is not, somebody else changed the score, and an entry EXTERNAL
takes the difference, so that the ledger stays the sum of what happened and shows what nobody vouches for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from bson import Timestamp

from tornado_app.core.ledger import Entry, EntryKind, with_hash
from tornado_app.mongo.change_stream.events import HistoryLost
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.players.write_marker import INT64, Kind, WriteMarker, marker_of

WATCHED: list[Mapping[str, Any]] = [
    {
        "$project": {
            "operationType": 1,
            "documentKey": 1,
            "clusterTime": 1,
            "updateDescription.removedFields": 1,
            **{f"{place}.{name}": 1 for place in ("fullDocument", "updateDescription.updatedFields")
               for name in ("score", "last")},
        }
    }
]  # fmt: skip
"""What is needed of an event; a resume token, which is its `_id`, comes along."""

_TIMES = range(253_402_300_800_000)
"""Milliseconds until the year 10000, where BSON's dates cannot be read any more."""

_KINDS = tuple(EntryKind)

_UP_TO = (EntryKind.OPENING, EntryKind.RECONCILED)
"""Entries that stand for all that was before their version, and at it."""


class ChainHead(msgspec.Struct, frozen=True):
    """A player's last entry, as far as the next one needs it."""

    n: int = 0
    score: int = 0
    version: int = -1
    hash: bytes = b""
    write_id: str = ""
    kind: EntryKind | None = None


def head_in(document: Mapping[str, Any]) -> ChainHead:
    """The same of a stored entry, whatever somebody did to it: the next one shows that the chain is broken."""

    def kept(name: str, kind: type[Any], otherwise: Any) -> Any:
        value = document.get(name)
        return value if isinstance(value, kind) else otherwise

    kind = document.get("kind")
    return ChainHead(
        kept("n", int, 0),
        kept("score", int, 0),
        kept("version", int, -1),
        kept("hash", bytes, b""),
        kept("_id", str, ""),
        EntryKind(kind) if kind in _KINDS else None,
    )


NOTHING = ChainHead()
"""The head of a chain without entries."""


def head_of(entry: Entry) -> ChainHead:
    """What the entry after this one needs of it."""
    return ChainHead(entry.n, entry.score, entry.version, entry.hash, entry.write_id, entry.kind)


class LedgerEvent(msgspec.Struct, frozen=True):
    """What an event says. `marker` None: it has none, or none of ours. `score` None: it does not tell the score.

    `at`: the cluster time's second, in milliseconds since the epoch. `touched`: the score is not what it was.
    """

    player: str
    version: int
    at: int
    marker: WriteMarker | None = None
    score: int | None = None
    touched: bool = True
    deleted: bool = False


def fact(event: Mapping[str, Any]) -> LedgerEvent | None:
    """What an event says; None where it does not concern the ledger. Raises HistoryLost: it can't be told from it."""
    kind = event["operationType"]
    if kind not in ("insert", "update", "replace", "delete"):
        raise HistoryLost(kind)
    player = event["documentKey"]["_id"]
    if not isinstance(player, str) or not player:  # not a player of ours; the audit names such documents
        return None
    moment: Timestamp = event["clusterTime"]
    known = LedgerEvent(player, cluster_time_to_int(moment), int(moment.time) * 1000)
    if kind == "delete":
        return msgspec.structs.replace(known, deleted=True)
    if kind == "update":
        return _updated(known, event.get("updateDescription") or {})
    document = event.get("fullDocument") or {}
    marker = marker_of(document.get("last")) if kind == "insert" else None  # we replace no document
    return msgspec.structs.replace(known, marker=marker, score=score_of(document))


def _updated(known: LedgerEvent, description: Mapping[str, Any]) -> LedgerEvent | None:
    fields = description.get("updatedFields") or {}
    removed = description.get("removedFields") or ()
    touched = "score" in fields or "score" in removed
    if not (touched or "last" in fields or "last" in removed):
        return None
    marker = marker_of(fields.get("last"))
    score = score_of(fields)
    if marker is not None and marker.kind in (Kind.ACTION, Kind.TAKE_BACK) and score is None:
        marker = None  # it speaks of points, and the score did not move
    if marker is not None and marker.kind in (Kind.HIDE, Kind.SHOW, Kind.ERASE) and not touched:
        score = marker.points
    return msgspec.structs.replace(known, marker=marker, score=score, touched=touched)


def score_of(fields: Mapping[str, Any]) -> int | None:
    """The score of a player's document; None where somebody else put what is no integer."""
    score = fields.get("score")
    return score if isinstance(score, int) and not isinstance(score, bool) else None


def entries_for(fact: LedgerEvent, head: ChainHead, reused: Collection[tuple[str, int]] = ()) -> list[Entry]:
    """The entries that a fact adds to the chain that ends with `head`; none where they are in it already.

    `reused`: (write_id, version) of markers whose write_id the ledger has for another write. An erasure is not recorded
    here.
    """
    if fact.marker is not None and (fact.marker.write_id, fact.version) in reused:
        fact = msgspec.structs.replace(fact, marker=None)
    if _is_recorded(fact, head):
        return []
    marker = fact.marker
    if marker is None:
        return _external(fact, head)
    points = marker.points if marker.kind in (Kind.ACTION, Kind.TAKE_BACK, Kind.REGISTER) else 0
    before = head.score if fact.score is None else fact.score - points
    if before not in INT64 or before + points not in INT64 or before - head.score not in INT64:
        return _external(fact, head)
    entries = []
    if before != head.score:
        entries.append(_unexplained(fact, head, before - head.score, "the score is not what the ledger adds up to"))
        head = head_of(entries[0])
    entries.append(marked(fact, marker, points, head))
    return entries


def _is_recorded(fact: LedgerEvent, head: ChainHead) -> bool:
    if fact.version != head.version:
        return fact.version < head.version
    if head.kind in _UP_TO:
        return True
    if fact.marker is not None:
        return head.write_id == fact.marker.write_id
    return head.kind is EntryKind.EXTERNAL and (fact.deleted or fact.score in (None, head.score))


def _external(fact: LedgerEvent, head: ChainHead) -> list[Entry]:
    """A write without a marker of ours, or a delete that no erasure announced."""
    if fact.deleted:
        return [_unexplained(fact, head, -head.score, "the player was deleted, not erased")] if head.n else []
    if fact.score is None:
        reason = "the score is no whole number any more" if fact.touched else "the marker was written by somebody else"
        return [_unexplained(fact, head, 0, reason)]
    entries: list[Entry] = []
    while difference := fact.score - head.score:  # from one end of int64 to the other it takes more than one
        points = max(INT64[0], min(INT64[-1], difference))
        entries.append(_unexplained(fact, head, points, "the score was written without a marker"))
        head = head_of(entries[-1])
    return entries


def _unexplained(fact: LedgerEvent, head: ChainHead, points: int, reason: str) -> Entry:
    marker = WriteMarker(
        Kind.ACTION, points, f"{EntryKind.EXTERNAL}.{fact.player}.{head.n + 1}.{fact.version}", reason=reason
    )
    return marked(fact, marker, points, head, EntryKind.EXTERNAL)


def marked(
    fact: LedgerEvent, marker: WriteMarker, points: int, head: ChainHead, kind: EntryKind | None = None
) -> Entry:
    """The entry after `head` that holds what a marker says; the fact's time stands in for one that is no time."""
    return with_hash(
        Entry(
            write_id=marker.write_id,
            player=fact.player,
            n=head.n + 1,
            kind=kind or EntryKind[marker.kind.name],
            points=points,
            score=head.score + points,
            at=marker.at if marker.at and marker.at in _TIMES else fact.at,
            version=fact.version,
            id=marker.id,
            type=marker.type,
            frontend=marker.frontend,
            by=marker.by,
            reason=marker.reason,
            takes_back=tuple(marker.takes_back),
            prev=head.hash,
        )
    )
