"""Appends the events of the players' change stream, batch by batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tornado_app.core.ledger import Entry
from tornado_app.mongo.change_stream.events import HistoryLost
from tornado_app.mongo.change_stream.subscription import Event
from tornado_app.mongo.ledger.appender import DuplicateWriteId, LedgerAppender
from tornado_app.mongo.ledger.chain_heads import ChainHeads
from tornado_app.mongo.ledger.entries import LedgerEvent, entries_for, fact, head_of
from tornado_app.mongo.ledger.reconciliation import erasure
from tornado_app.mongo.players.write_marker import Kind

log = logging.getLogger("leaderboard.ledger")


TURN = 20
"""Events after which other tasks get their turn: one that takes back many actions is some 10 KB of work."""


class EventWriter:
    """Writes into `book` what events say; `heads` are the ends of the chains as they are in it.

    A batch may be recorded again, whole or in part: what is there already is not written twice. Raises what
    LedgerAppender does.
    """

    def __init__(self, appender: LedgerAppender, heads: ChainHeads) -> None:
        self._appender = appender
        self._heads = heads
        self._reused: set[tuple[str, int]] = set()

    async def write(self, events: Sequence[Event]) -> None:
        """Append what the events say. Raises HistoryLost at the first that cannot be decoded, after those before it."""
        facts, lost = await _facts(events)
        while facts:
            try:
                await self._apply(facts)
            except DuplicateWriteId as copied:
                self._heads.forget()
                self._copied(copied.write_id, copied.version)
            else:
                break
        if lost is not None:
            raise lost

    async def _apply(self, facts: list[LedgerEvent]) -> None:
        await self._heads.load({one.player for one in facts})
        entries: list[Entry] = []
        for place, one in enumerate(facts):
            if place % TURN == 0:
                await asyncio.sleep(0)
            if one.marker is not None and one.marker.kind is Kind.ERASE:
                await self._appender.append([entry for entry in entries if entry.player != one.player])
                await self._appender.erase(one.player, one.version)
                entries = await erasure(one, self._heads)
                await self._heads.reload(one.player)  # where it is read again, what came after it is there already
                continue
            new = entries_for(one, self._heads[one.player], self._reused)
            if len(new) > 1 and await self._appender.has(
                new[-1].write_id
            ):  # seldom: the score is odd, and so may the marker be
                self._copied(new[-1].write_id, one.version)
                new = entries_for(one, self._heads[one.player], self._reused)
            if new:
                self._heads[one.player] = head_of(new[-1])
                entries += new
        await self._appender.append(entries)
        self._reused.clear()

    def _copied(self, write_id: str, version: int) -> None:
        log.error("a marker was copied from another write", extra={"write_id": write_id})
        self._reused.add((write_id, version))


async def _facts(events: Sequence[Event]) -> tuple[list[LedgerEvent], HistoryLost | None]:
    """What the events say, up to the one after which nothing can be told from them."""
    facts: list[LedgerEvent] = []
    for place, event in enumerate(events):
        if place % TURN == 0:
            await asyncio.sleep(0)
        try:
            found = fact(event)
        except HistoryLost as lost:
            return facts, lost
        if found is not None:
            facts.append(found)
    return facts, None
