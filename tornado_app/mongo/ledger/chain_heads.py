"""The last entry of each player's chain: read when the player's first event arrives, then cached."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from typing import Any

import pymongo

from tornado_app.mongo.client.driver import maybe_await
from tornado_app.mongo.ledger.entries import NOTHING, ChainHead, head_in
from tornado_app.mongo.players.documents import Document

MAX_HEADS = 50_000
"""Maximum cached players, at about 400 bytes each; the least recently used one is dropped."""

CHUNK = 500
"""Players in one query."""

TIMEOUT = 10.0
"""Timeout of one query, in seconds."""


class ChainHeads:
    """A bounded cache of the last entries of chains. It is correct while no other process writes the ledger."""

    def __init__(self, entries: Any, *, most: int = MAX_HEADS) -> None:
        self._entries = entries
        self._most = most
        self._known: OrderedDict[str, ChainHead] = OrderedDict()

    def __getitem__(self, player: str) -> ChainHead:
        """The last entry of a chain that was loaded or set since the last `load`. Raises KeyError for another."""
        return self._known[player]

    def __setitem__(self, player: str, head: ChainHead) -> None:
        self._known[player] = head
        self._known.move_to_end(player)

    def forget(self) -> None:
        """Drop all: another process may have written."""
        self._known.clear()

    async def load(self, players: Collection[str]) -> None:
        """Load the last entries of these players' chains, and drop others above the maximum."""
        for player in players:
            if player in self._known:
                self._known.move_to_end(player)
        missing = [player for player in players if player not in self._known]
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            heads = {player: head async for player, head in self.read({"$in": chunk})}
            for player in chunk:
                self[player] = heads.get(player, NOTHING)
        while len(self._known) > max(self._most, len(players)):
            self._known.popitem(last=False)

    async def reload(self, player: str) -> None:
        """Read a player's last entry again."""
        self._known.pop(player, None)
        await self.load([player])

    async def read(self, players: Document) -> AsyncIterator[tuple[str, ChainHead]]:
        """The last entries of all chains whose player matches the condition, from the database.

        In this order MongoDB reads only one entry of each player (DISTINCT_SCAN backwards on the index).
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
                    yield document["_id"], head_in(document["last"])
        finally:
            await maybe_await(cursor.close())
