"""The last entry of each chain: read when the first event of its player on its board arrives, then cached."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from typing import Any

import pymongo

from tornado_app.core.ledger import ChainKey
from tornado_app.mongo.client.driver import maybe_await
from tornado_app.mongo.ledger.entries import NOTHING, ChainHead, head_in
from tornado_app.mongo.ledger.reader import chain_id, chain_of
from tornado_app.mongo.players.documents import Document

MAX_HEADS = 50_000
"""Maximum cached chains, at about 400 bytes each; the least recently used one is dropped."""

CHUNK = 500
"""Chains in one query."""

TIMEOUT = 10.0
"""Timeout of one query, in seconds."""


class ChainHeads:
    """A bounded cache of the last entries of chains. It is correct while no other process writes the ledger."""

    def __init__(self, entries: Any, *, most: int = MAX_HEADS) -> None:
        self._entries = entries
        self._most = most
        self._known: OrderedDict[ChainKey, ChainHead] = OrderedDict()

    def __getitem__(self, chain: ChainKey) -> ChainHead:
        """The last entry of a chain that was loaded or set since the last `load`. Raises KeyError for another."""
        return self._known[chain]

    def __setitem__(self, chain: ChainKey, head: ChainHead) -> None:
        self._known[chain] = head
        self._known.move_to_end(chain)

    def forget(self) -> None:
        """Drop all: another process may have written."""
        self._known.clear()

    async def load(self, chains: Collection[ChainKey]) -> None:
        """Load the last entries of these chains, and drop others above the maximum."""
        for chain in chains:
            if chain in self._known:
                self._known.move_to_end(chain)
        missing = [chain for chain in chains if chain not in self._known]
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            heads = {chain: head async for chain, head in self.read({"$in": [chain_id(*chain) for chain in chunk]})}
            for chain in chunk:
                self[chain] = heads.get(chain, NOTHING)
        while len(self._known) > max(self._most, len(chains)):
            self._known.popitem(last=False)

    async def reload(self, chain: ChainKey) -> None:
        """Read a chain's last entry again."""
        self._known.pop(chain, None)
        await self.load([chain])

    async def read(self, players: Document) -> AsyncIterator[tuple[ChainKey, ChainHead]]:
        """The last entries of all chains whose member `player` matches the condition, from the database.

        In this order MongoDB reads only one entry of each chain (DISTINCT_SCAN backwards on the index).
        """
        pipeline = [
            {"$match": {"player": players}},
            {"$sort": {"player": -1, "n": -1}},
            {"$group": {"_id": "$player", "last": {"$first": "$$ROOT"}}},
        ]
        with pymongo.timeout(TIMEOUT):
            cursor = await maybe_await(self._entries.aggregate(pipeline))
        try:
            documents: list[Document] = [{}]
            while documents:
                with pymongo.timeout(TIMEOUT):
                    documents = await cursor.to_list(CHUNK)
                for document in documents:
                    try:
                        chain = chain_of(document["_id"])
                    except (KeyError, TypeError):  # another program's; the audit reports it
                        continue
                    yield chain, head_in(document["last"])
        finally:
            await maybe_await(cursor.close())
