"""Begins a ledger for existing players, and continues it after the change stream's history was lost.

One board after the other, each player's document is compared with the last entry of the player's chain, page by page,
each page at one moment of the database; an entry contains the difference. The stream then continues from the first
page's moment: the entry's version shows which events a page has already included (entries.py). So no long snapshot is
needed, and the service keeps running.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import pymongo
from bson import Timestamp
from pymongo.errors import DuplicateKeyError, PyMongoError

from tornado_app.core.errors import StartupError
from tornado_app.core.history import INT64, HistoryEntry, WriteKind
from tornado_app.core.ledger import ERASURES, Entry, EntryKind
from tornado_app.mongo.change_stream.source import collection_ids
from tornado_app.mongo.client import preflight
from tornado_app.mongo.client.cluster_time import cluster_time, cluster_time_to_int
from tornado_app.mongo.client.driver import DURABLE, Client
from tornado_app.mongo.ledger.appender import LedgerAppender
from tornado_app.mongo.ledger.chain_heads import TIMEOUT, ChainHeads
from tornado_app.mongo.ledger.entries import (
    NOTHING,
    ChainHead,
    LedgerEvent,
    entries_for,
    entry_of,
    head_of,
    made_write_id,
)
from tornado_app.mongo.ledger.lease import LEASES, Lease
from tornado_app.mongo.ledger.reader import LEDGER, chains_between
from tornado_app.mongo.players.documents import BALANCE_FIELDS, Document, balance_of, collection_of, last_entry

log = logging.getLogger("leaderboard.ledger")

PAGE = 1000
"""Players compared at once."""

NAMED = 20
"""Maximum differences that the log lists; the rest are counted."""

REASON = {
    EntryKind.OPENING: "the score when the ledger began",
    EntryKind.RECONCILED: "the change stream's history was lost",
}


async def begin_without_players(client: Client, database: str) -> None:
    """Begin the ledger of a new database at the present point of the change stream, before the first score.

    Otherwise the first actions and the comparison run at the same time, and actions that the comparison finds first
    become an entry OPENING, which cannot be taken back. A database with players or a ledger does not change.
    Raises StartupError.
    """
    try:
        with pymongo.timeout(TIMEOUT):
            now = await cluster_time(client[database])
            boards = await collection_ids(client[database])
            for name in (*map(collection_of, boards), LEDGER):
                if await client[database][name].find_one({}, {"_id": 1}) is not None:
                    return
            leases = client[database].get_collection(LEASES, write_concern=DURABLE)
            with contextlib.suppress(DuplicateKeyError):  # another process began it
                await leases.update_one(
                    {"_id": LEDGER}, {"$setOnInsert": position(now) | {"initialised": True}}, upsert=True
                )
    except PyMongoError as error:
        raise StartupError(f"the ledger cannot begin: {preflight.explain(error, database)}") from error


def position(point: Any) -> Document:
    """What a lease says of the resume point of the stream.

    `resume_point` is that of all boards. `resume_token` is for former versions of the service, which follow the board
    `main` only: their stream does not accept the token of another board's event, so both are a cluster time.
    """
    return {"resume_point": point, "resume_token": point}


class Reconciliation:
    """One comparison of all players of a board with the ledger. `first`: the ledger has never followed the board."""

    def __init__(
        self,
        database: Any,
        board: str,
        appender: LedgerAppender,
        heads: ChainHeads,
        lease: Lease,
        *,
        first: bool,
        page: int,
    ) -> None:
        self._players = database[collection_of(board)]
        self._board = board
        self._page_size = page
        self._appender = appender
        self._heads = heads
        self._lease = lease
        self._kind = EntryKind.OPENING if first else EntryKind.RECONCILED
        self._started: Timestamp | None = None
        self._written = 0

    async def run(self, started: Timestamp | None) -> Timestamp:
        """Compare all players; the moment from which the stream continues. `started`: that of an earlier board's
        comparison, or of an interrupted one.

        Raises LeaseLost and PyMongoError.
        """
        self._started = started
        after: str | None = ""
        while after is not None:
            after = await self._page(after)
        assert self._started is not None  # noqa: S101  # the first page has set it
        if self._written:
            level = logging.INFO if self._kind is EntryKind.OPENING else logging.ERROR
            facts = {"board": self._board, "players": self._written}
            log.log(level, "the ledger has recorded the changes that it had missed", extra=facts)
        return self._started

    async def _page(self, after: str) -> str | None:
        """Compare the players after `after`; the last of them, None if there are no more."""
        moment, documents = await self._read(after)
        if self._started is None:
            await self._lease.keep({"reconcile_started": moment})
            self._started = moment
        last = documents[-1]["_id"] if documents else None
        bounds = chains_between(self._board, after, last)
        heads = {player: head async for (_, player), head in self._heads.read(bounds)}
        known = await self._known(documents, heads)
        entries: list[Entry] = []
        for document in documents:
            head = heads.pop(document["_id"], NOTHING)
            entries += await self._compare(document, head, known, moment)
        for player, head in heads.items():  # chains without a player; the stream may still show why
            gone = {"_id": player, "score": 0}
            entries += await self._compare(gone, head, known, self._started)
        await self._appender.append(entries)
        return last

    async def _read(self, after: str) -> tuple[Timestamp, Sequence[Document]]:
        command = {
            "find": self._players.name,
            "filter": {"_id": {"$gt": after}},
            "sort": {"_id": 1},
            "projection": BALANCE_FIELDS,
            "limit": self._page_size,
            "batchSize": self._page_size,
            "singleBatch": True,
            "readConcern": {"level": "snapshot"},
        }
        before: Timestamp | None = None
        while True:
            with pymongo.timeout(TIMEOUT):
                cursor = (await self._players.database.command(command))["cursor"]
                if "atClusterTime" not in cursor:  # there is no collection
                    if before is not None:
                        return before, []
                    before = await cluster_time(self._players.database)
                    continue
            if self._started is None or cursor["atClusterTime"] >= self._started:
                return cursor["atClusterTime"], cursor["firstBatch"]
            await asyncio.sleep(0.05)  # a new primary that has not caught up with the old one yet

    async def _known(self, documents: Sequence[Document], heads: dict[str, ChainHead]) -> set[str]:
        """The players' last writes that are in the ledger."""
        last = {d["_id"]: entry.write_id for d in documents if (entry := last_entry(d)) is not None}
        known = {write_id for player, write_id in last.items() if heads.get(player, NOTHING).write_id == write_id}
        unsure = [write_id for write_id in last.values() if write_id not in known]
        with pymongo.timeout(TIMEOUT):
            recorded = await self._appender.entries.find({"_id": {"$in": unsure}}, {"_id": 1}).to_list(None)
        return known | {document["_id"] for document in recorded}

    async def _compare(self, document: Document, head: ChainHead, known: set[str], moment: Timestamp) -> list[Entry]:
        """The entry that brings a chain up to its document; none if they agree."""
        assert self._started is not None  # noqa: S101  # set with the first page
        if head.version >= cluster_time_to_int(self._started):
            return []  # compared before this comparison broke off; the stream has what came after
        last, score = last_entry(document), balance_of(document)
        event = LedgerEvent(document["_id"], cluster_time_to_int(moment), int(moment.time) * 1000, self._board)
        unseen = last is not None and last.write_id not in known
        if last is not None and last.kind == WriteKind.ERASE:
            return await self._erase(event, last) if unseen else []
        difference = max(INT64[0], min(INT64[-1], (head.score if score is None else score) - head.score))
        inserted = last is None and score is not None and not head.n and self._kind is EntryKind.OPENING
        if difference == 0 and not unseen and not inserted:
            return []
        write_id = made_write_id(self._kind, event, str(event.version))
        if last is not None and unseen:
            write_id = last.write_id
            known.add(write_id)
        self._written += 1
        if self._kind is EntryKind.RECONCILED and self._written <= NAMED:
            facts = {"board": self._board, "player": event.player, "points": difference}
            log.error("the ledger missed what happened to a player's score; an entry takes the difference", extra=facts)
        write = HistoryEntry(WriteKind.ACTION, difference, write_id, reason=REASON[self._kind])
        return [entry_of(event, write, difference, head, self._kind)]

    async def _erase(self, event: LedgerEvent, write: HistoryEntry) -> list[Entry]:
        """An erasure that the stream did not report: the player's entries go, and its record stays."""
        assert self._started is not None  # noqa: S101  # set with the first page
        await self._appender.erase(event.chain, event.version)
        # Not later than any erasure that the stream will report.
        return await erasure(
            msgspec.structs.replace(event, writes=(write,), version=cluster_time_to_int(self._started)), self._heads
        )


async def erasure(event: LedgerEvent, heads: ChainHeads) -> list[Entry]:
    """The remaining entry of an erased player, in a chain of its own without a name."""
    nameless = msgspec.structs.replace(event, player=ERASURES, score=None, touched=False)
    await heads.load([nameless.chain])
    entries = entries_for(nameless, heads[nameless.chain])
    if entries:
        heads[nameless.chain] = head_of(entries[-1])
    return entries
