"""From an event of the players' change stream to its ledger entries. Pure.

An event carries the history entries of its write (core/history.py) and, where the score changed, the score after it.
The sum of a player's ledger entries must then be that score: where it is not, another program changed the score, and an
entry EXTERNAL takes the difference, so that the ledger stays the sum of what happened and shows such changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import accumulate
from typing import Any

import msgspec

from tornado_app.core.boards import MAIN
from tornado_app.core.history import INT64, HistoryEntry, WriteKind
from tornado_app.core.ledger import ChainKey, Entry, EntryKind, with_hash
from tornado_app.core.slots import EpochKey
from tornado_app.core.versions import exact_version, excess_increment, to_board_version
from tornado_app.mongo.change_stream.events import SCORE, SEQ, PlayerEvent

_TIMES = range(253_402_300_800_000)
"""Milliseconds until the year 10000, from which on BSON's dates cannot be read."""

_KINDS = tuple(EntryKind)

_ENTRY_KINDS = {
    WriteKind.ACTION: EntryKind.ACTION,
    WriteKind.REGISTER: EntryKind.REGISTER,
    WriteKind.PROFILE: EntryKind.PROFILE,
    WriteKind.TAKE_BACK: EntryKind.TAKE_BACK,
    WriteKind.SUSPEND: EntryKind.SUSPEND,
    WriteKind.REINSTATE: EntryKind.REINSTATE,
    WriteKind.HIDE: EntryKind.HIDE,
    WriteKind.SHOW: EntryKind.SHOW,
    WriteKind.ERASE: EntryKind.ERASE,
}

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
        exact_version(kept("version", int, -1), kept("increment", int, 0)),
        kept("hash", bytes, b""),
        kept("_id", str, ""),
        EntryKind(kind) if kind in _KINDS else None,
    )


NOTHING = ChainHead()
"""The head of a chain without entries."""


def head_of(entry: Entry) -> ChainHead:
    """The head after this entry."""
    return ChainHead(entry.n, entry.score, entry.exact_version, entry.hash, entry.write_id, entry.kind)


class LedgerEvent(msgspec.Struct, frozen=True):
    """What an event means for the ledger. `writes`: its history entries; none: the service did not make the write.

    `score`: the score after the event, None if unknown. `touched`: whether the event may have changed it. `at`: the
    cluster time, in milliseconds since the epoch.
    """

    player: str
    version: int
    at: int
    board: str = MAIN.name
    writes: tuple[HistoryEntry, ...] = ()
    score: int | None = None
    touched: bool = True
    deleted: bool = False

    @property
    def chain(self) -> ChainKey:
        """The chain of the player on the board."""
        return self.board, self.player

    @property
    def erasure(self) -> bool:
        """Whether the write began an erasure."""
        return bool(self.writes) and self.writes[-1].kind == WriteKind.ERASE


def ledger_event(event: PlayerEvent) -> LedgerEvent | None:
    """The event for the ledger; None if it does not concern the ledger."""
    if not event.player:  # not a user id; the audit reports such documents
        return None
    writes = event.entries
    score = event.score
    if event.kind == "insert" and not event.touched & (SCORE | SEQ):  # a placeholder
        return None
    touched = event.kind != "update" or bool(event.touched & SCORE)
    if event.kind == "update":
        if not touched and not event.touched & SEQ:
            return None
        last = writes[-1] if writes else None
        if score is None and last is not None and last.kind == WriteKind.TAKE_BACK and event.touched & SCORE:
            score = 0  # the player has none any more
        elif score is None and event.points:
            writes, last = (), None  # it has points, and the score did not change
        if last is not None and last.kind in (WriteKind.HIDE, WriteKind.SHOW, WriteKind.ERASE) and not touched:
            score = last.points
    deleted = event.kind == "delete"
    return LedgerEvent(event.player, event.version, event.time, event.board, writes, score, touched, deleted)


def entries_for(event: LedgerEvent, head: ChainHead, reused: Collection[tuple[str, int]] = ()) -> list[Entry]:
    """The entries that an event adds to the chain that ends with `head`; none if the chain contains them.

    `reused`: (write_id, version) of history entries whose write_id the ledger has for another write. An erasure is not
    recorded here.
    """
    if reused and any((write.write_id, event.version) in reused for write in event.writes):
        event = msgspec.structs.replace(event, writes=())
    if _is_recorded(event, head):
        return []
    writes = _unrecorded(event, head)
    if not event.writes:
        return _external(event, head)
    points = [write.added for write in writes]
    before = head.score if event.score is None else event.score - sum(points)
    if before - head.score not in INT64 or any(sum_ not in INT64 for sum_ in accumulate(points, initial=before)):
        return _external(event, head)
    entries = []
    if before != head.score:
        entries.append(
            _unexplained(event, head, before - head.score, "the score is not the sum of the ledger's entries")
        )
        head = head_of(entries[0])
    for write, added in zip(writes, points, strict=True):
        entries.append(entry_of(event, write, added, head))
        head = head_of(entries[-1])
    return entries


def _is_recorded(event: LedgerEvent, head: ChainHead) -> bool:
    if event.version != head.version:
        return event.version < head.version
    if head.kind in _UP_TO:
        return True
    if event.writes:
        return head.write_id == event.writes[-1].write_id
    return head.kind is EntryKind.EXTERNAL and (event.deleted or event.score in (None, head.score))


def _unrecorded(event: LedgerEvent, head: ChainHead) -> tuple[HistoryEntry, ...]:
    """The writes that are not in the chain: a writer that stopped may have stored the first of them."""
    if event.version == head.version:
        for place, write in enumerate(event.writes):
            if write.write_id == head.write_id:
                return event.writes[place + 1 :]
    return event.writes


def _external(event: LedgerEvent, head: ChainHead) -> list[Entry]:
    """A write without history entries, or a delete that no erasure announced."""
    if event.deleted:
        reason = "the player was deleted, not erased"
        return (_differences(event, head, 0, reason) or [_unexplained(event, head, 0, reason)]) if head.n else []
    if event.score is None:
        reason = "the score is no whole number any more" if event.touched else "another program changed the history"
        return [_unexplained(event, head, 0, reason)]
    return _differences(event, head, event.score, "the score was written without a history entry")


def _differences(event: LedgerEvent, head: ChainHead, score: int, reason: str) -> list[Entry]:
    """The entries that bring a chain to a score."""
    entries: list[Entry] = []
    while difference := score - head.score:  # a change across all of int64 takes more than one entry
        points = max(INT64[0], min(INT64[-1], difference))
        entries.append(_unexplained(event, head, points, reason))
        head = head_of(entries[-1])
    return entries


def _unexplained(event: LedgerEvent, head: ChainHead, points: int, reason: str) -> Entry:
    write_id = made_write_id(EntryKind.EXTERNAL, event, f"{head.n + 1}.{event.version}")
    write = HistoryEntry(WriteKind.ACTION, points, write_id, reason=reason)
    return entry_of(event, write, points, head, EntryKind.EXTERNAL)


def made_write_id(kind: EntryKind, event: LedgerEvent, rest: str) -> str:
    """The write id of an entry that is not a write of the service. A board's name has no dot, and a kind no slash."""
    board = "" if event.board == MAIN.name else f"/{event.board}"
    return f"{kind}{board}.{event.player}.{rest}"


def entry_of(
    event: LedgerEvent, write: HistoryEntry, points: int, head: ChainHead, kind: EntryKind | None = None
) -> Entry:
    """The entry after `head` for a history entry; the event's time stands in for one that is no time."""
    return with_hash(
        Entry(
            write_id=write.write_id,
            board=event.board,
            player=event.player,
            n=head.n + 1,
            kind=kind or _ENTRY_KINDS[write.kind],
            points=points,
            score=head.score + points,
            at=write.at if write.at and write.at in _TIMES else event.at,
            version=to_board_version(event.version),
            increment=excess_increment(event.version),
            id=write.id,
            type=write.type,
            frontend=write.frontend,
            by=write.by,
            reason=write.reason,
            takes_back=tuple(write.takes_back),
            submitted=write.submitted,
            epochs=_epochs(write),
        ),
        head.hash,
    )


def _epochs(write: HistoryEntry) -> tuple[EpochKey, ...]:
    """The epochs that an action counts in."""
    if write.kind != WriteKind.ACTION:
        return ()
    return tuple(sorted([(slot.period, slot.epoch) for slot in write.slots]))
