"""From an event of the players' change stream to the entries that the ledger has to have for it. Pure.

An event carries the mark of its write (write_marker.py) and, where the score changed, the score after it. The sum of a
player's entries must then be that score: where it is not, somebody else changed the score, and an entry FOREIGN takes
the difference, so that the ledger stays the sum of what happened and shows what nobody vouches for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from bson import Timestamp

from tornado_app.core.ledger import Entry, EntryKind, with_hash
from tornado_app.mongo.change_stream.events import HistoryLost
from tornado_app.mongo.client.cluster_time import version
from tornado_app.mongo.players.write_marker import INT64, Kind, Mark, mark_of

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
    op: str = ""
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
    return ChainHead(entry.n, entry.score, entry.version, entry.hash, entry.op, entry.kind)


class LedgerEvent(msgspec.Struct, frozen=True):
    """What an event says. `mark` None: it has none, or none of ours. `score` None: it does not tell the score.

    `at`: the cluster time's second, in milliseconds since the epoch. `touched`: the score is not what it was.
    """

    player: str
    version: int
    at: int
    mark: Mark | None = None
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
    known = LedgerEvent(player, version(moment), int(moment.time) * 1000)
    if kind == "delete":
        return msgspec.structs.replace(known, deleted=True)
    if kind == "update":
        return _updated(known, event.get("updateDescription") or {})
    document = event.get("fullDocument") or {}
    mark = mark_of(document.get("last")) if kind == "insert" else None  # we replace no document
    return msgspec.structs.replace(known, mark=mark, score=score_of(document))


def _updated(known: LedgerEvent, description: Mapping[str, Any]) -> LedgerEvent | None:
    fields = description.get("updatedFields") or {}
    removed = description.get("removedFields") or ()
    touched = "score" in fields or "score" in removed
    if not (touched or "last" in fields or "last" in removed):
        return None
    mark = mark_of(fields.get("last"))
    score = score_of(fields)
    if mark is not None and mark.kind in (Kind.ACTION, Kind.TAKE_BACK) and score is None:
        mark = None  # it speaks of points, and the score did not move
    if mark is not None and mark.kind in (Kind.HIDE, Kind.SHOW, Kind.ERASE) and not touched:
        score = mark.points
    return msgspec.structs.replace(known, mark=mark, score=score, touched=touched)


def score_of(fields: Mapping[str, Any]) -> int | None:
    """The score of a player's document; None where somebody else put what is no integer."""
    score = fields.get("score")
    return score if isinstance(score, int) and not isinstance(score, bool) else None


def book(fact: LedgerEvent, head: ChainHead, reused: Collection[tuple[str, int]] = ()) -> list[Entry]:
    """The entries that a fact adds to the chain that ends with `head`; none where they are in it already.

    `reused`: (op, version) of marks whose op the ledger has for another write. An erasure is not booked here.
    """
    if fact.mark is not None and (fact.mark.op, fact.version) in reused:
        fact = msgspec.structs.replace(fact, mark=None)
    if _booked(fact, head):
        return []
    mark = fact.mark
    if mark is None:
        return _foreign(fact, head)
    points = mark.points if mark.kind in (Kind.ACTION, Kind.TAKE_BACK, Kind.REGISTER) else 0
    before = head.score if fact.score is None else fact.score - points
    if before not in INT64 or before + points not in INT64 or before - head.score not in INT64:
        return _foreign(fact, head)
    entries = []
    if before != head.score:
        entries.append(_unexplained(fact, head, before - head.score, "the score is not what the ledger adds up to"))
        head = head_of(entries[0])
    entries.append(marked(fact, mark, points, head))
    return entries


def _booked(fact: LedgerEvent, head: ChainHead) -> bool:
    if fact.version != head.version:
        return fact.version < head.version
    if head.kind in _UP_TO:
        return True
    if fact.mark is not None:
        return head.op == fact.mark.op
    return head.kind is EntryKind.FOREIGN and (fact.deleted or fact.score in (None, head.score))


def _foreign(fact: LedgerEvent, head: ChainHead) -> list[Entry]:
    """A write without a mark of ours, or a delete that no erasure announced."""
    if fact.deleted:
        return [_unexplained(fact, head, -head.score, "the player was deleted, not erased")] if head.n else []
    if fact.score is None:
        reason = "the score is no whole number any more" if fact.touched else "the mark was written by somebody else"
        return [_unexplained(fact, head, 0, reason)]
    entries: list[Entry] = []
    while difference := fact.score - head.score:  # from one end of int64 to the other it takes more than one
        points = max(INT64[0], min(INT64[-1], difference))
        entries.append(_unexplained(fact, head, points, "the score was written without a mark"))
        head = head_of(entries[-1])
    return entries


def _unexplained(fact: LedgerEvent, head: ChainHead, points: int, reason: str) -> Entry:
    mark = Mark(Kind.ACTION, points, f"{EntryKind.FOREIGN}.{fact.player}.{head.n + 1}.{fact.version}", reason=reason)
    return marked(fact, mark, points, head, EntryKind.FOREIGN)


def marked(fact: LedgerEvent, mark: Mark, points: int, head: ChainHead, kind: EntryKind | None = None) -> Entry:
    """The entry after `head` that holds what a mark says; the fact's time stands in for one that is no time."""
    return with_hash(
        Entry(
            op=mark.op,
            player=fact.player,
            n=head.n + 1,
            kind=kind or EntryKind[mark.kind.name],
            points=points,
            score=head.score + points,
            at=mark.at if mark.at and mark.at in _TIMES else fact.at,
            version=fact.version,
            id=mark.id,
            type=mark.type,
            frontend=mark.frontend,
            by=mark.by,
            reason=mark.reason,
            ops=tuple(mark.ops),
            prev=head.hash,
        )
    )
