"""From an event of the players' change stream to its ledger entries. Pure.

An event carries the marker of its write (write_marker.py) and, if the score changed, the score after it. The sum of a
player's entries must then be that score. If it is not, another program changed the score, and an entry EXTERNAL
contains the difference. So the ledger remains the sum of all changes, and shows those that the service did not make.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from tornado_app.core.ledger import Entry, EntryKind, with_hash
from tornado_app.mongo.change_stream.events import PlayerEvent
from tornado_app.mongo.players.write_marker import INT64, Kind, WriteMarker

_TIMES = range(253_402_300_800_000)
"""Milliseconds until the year 10000, from which on BSON's dates cannot be read."""

_KINDS = tuple(EntryKind)

_UP_TO = (EntryKind.OPENING, EntryKind.RECONCILED)
"""Entries for everything up to their version."""


class ChainHead(msgspec.Struct, frozen=True):
    """The members of a player's last entry that the next one needs."""

    n: int = 0
    score: int = 0
    version: int = -1
    hash: bytes = b""
    write_id: str = ""
    kind: EntryKind | None = None


def head_in(document: Mapping[str, Any]) -> ChainHead:
    """The head in a stored entry, which may be malformed: the next one then shows that the chain is broken."""

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
    """The head after this entry."""
    return ChainHead(entry.n, entry.score, entry.version, entry.hash, entry.write_id, entry.kind)


class LedgerEvent(msgspec.Struct, frozen=True):
    """An event as the ledger sees it. `marker` None: the service did not make the write.

    `score`: the score after the event, None if unknown. `touched`: whether the event may have changed it. `at`: the
    cluster time, in milliseconds since the epoch.
    """

    player: str
    version: int
    at: int
    marker: WriteMarker | None = None
    score: int | None = None
    touched: bool = True
    deleted: bool = False


def ledger_event(event: PlayerEvent) -> LedgerEvent | None:
    """The event for the ledger; None if it does not concern the ledger."""
    if not event.player:  # not a user id; the audit reports such documents
        return None
    marker = None if event.kind == "replace" else event.marker  # the service replaces no document
    score = None if event.score is UNSET else event.score
    touched = event.kind != "update" or "score" in event.touched
    if event.kind == "update":
        if not touched and "last" not in event.touched:
            return None
        if marker is not None and marker.kind in (Kind.ACTION, Kind.TAKE_BACK) and score is None:
            marker = None  # it has points, but the score did not change
        if marker is not None and marker.kind in (Kind.HIDE, Kind.SHOW, Kind.ERASE) and not touched:
            score = marker.points
    return LedgerEvent(event.player, event.version, event.time, marker, score, touched, event.kind == "delete")


def entries_for(event: LedgerEvent, head: ChainHead, reused: Collection[tuple[str, int]] = ()) -> list[Entry]:
    """The entries that an event adds to the chain that ends with `head`; none if the chain contains them.

    `reused`: (write_id, version) of markers whose write_id the ledger has for another write. An erasure is not recorded
    here.
    """
    if event.marker is not None and (event.marker.write_id, event.version) in reused:
        event = msgspec.structs.replace(event, marker=None)
    if _is_recorded(event, head):
        return []
    marker = event.marker
    if marker is None:
        return _external(event, head)
    points = marker.points if marker.kind in (Kind.ACTION, Kind.TAKE_BACK, Kind.REGISTER) else 0
    before = head.score if event.score is None else event.score - points
    if before not in INT64 or before + points not in INT64 or before - head.score not in INT64:
        return _external(event, head)
    entries = []
    if before != head.score:
        entries.append(
            _unexplained(event, head, before - head.score, "the score is not the sum of the ledger's entries")
        )
        head = head_of(entries[0])
    entries.append(marked(event, marker, points, head))
    return entries


def _is_recorded(event: LedgerEvent, head: ChainHead) -> bool:
    if event.version != head.version:
        return event.version < head.version
    if head.kind in _UP_TO:
        return True
    if event.marker is not None:
        return head.write_id == event.marker.write_id
    return head.kind is EntryKind.EXTERNAL and (event.deleted or event.score in (None, head.score))


def _external(event: LedgerEvent, head: ChainHead) -> list[Entry]:
    """A write without a marker of the service, or a delete without an announced erasure."""
    if event.deleted:
        return [_unexplained(event, head, -head.score, "the player was deleted, not erased")] if head.n else []
    if event.score is None:
        reason = "the score is no longer a whole number" if event.touched else "another program wrote the marker"
        return [_unexplained(event, head, 0, reason)]
    entries: list[Entry] = []
    while difference := event.score - head.score:  # a change across all of int64 takes more than one entry
        points = max(INT64[0], min(INT64[-1], difference))
        entries.append(_unexplained(event, head, points, "the score was written without a marker"))
        head = head_of(entries[-1])
    return entries


def _unexplained(event: LedgerEvent, head: ChainHead, points: int, reason: str) -> Entry:
    marker = WriteMarker(
        Kind.ACTION, points, f"{EntryKind.EXTERNAL}.{event.player}.{head.n + 1}.{event.version}", reason=reason
    )
    return marked(event, marker, points, head, EntryKind.EXTERNAL)


def marked(
    event: LedgerEvent, marker: WriteMarker, points: int, head: ChainHead, kind: EntryKind | None = None
) -> Entry:
    """The entry after `head` for a marker. A malformed time is replaced by that of the event."""
    return with_hash(
        Entry(
            write_id=marker.write_id,
            player=event.player,
            n=head.n + 1,
            kind=kind or EntryKind[marker.kind.name],
            points=points,
            score=head.score + points,
            at=marker.at if marker.at and marker.at in _TIMES else event.at,
            version=event.version,
            id=marker.id,
            type=marker.type,
            frontend=marker.frontend,
            by=marker.by,
            reason=marker.reason,
            takes_back=tuple(marker.takes_back),
            prev=head.hash,
        )
    )
