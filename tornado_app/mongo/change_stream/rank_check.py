"""Whether the ranks in memory are the database's: one score at a time, while both go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from pymongo.errors import PyMongoError

from tornado_app.core.errors import DatabaseError
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.change_stream.snapshot import count_above
from tornado_app.mongo.client.driver import Client
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.ranks")

EVERY = 60.0
"""Seconds between two checks."""

PATIENCE = 30.0
"""Seconds that the feed gets to be where the database was."""

MAX_RANK = 100_000
"""The deepest rank that is checked: the database counts all who stand above it."""


class Ranked(Protocol):
    """The board in memory. `revision` grows with every change, `snapshots` when all was read anew."""

    snapshots: int
    revision: int

    def sample(self) -> list[int]:
        """Some scores that are worth a look, the likeliest to be wrong first."""

    def rank(self, score: int) -> int:
        """1 + how many players have a greater score. Raises DatabaseError while the ranks are being read."""


class RankCheck:
    """Compares now and then. Ranks that are wrong are read anew.

    `observe` is told `agreed` or `differed`.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        board: Ranked,
        feed: Feed,
        *,
        collection: str = "players",
        max_rank: int = MAX_RANK,
        observe: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._client = client
        self._players: Any = client[database][collection]
        self._board = board
        self._feed = feed
        self._max_rank = max_rank
        self._observe = observe

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(jittered(EVERY))
            try:
                await self.once()
            except (DatabaseError, PyMongoError, TimeoutError) as error:
                log.info("the ranks could not be checked: %s", type(error).__name__)

    async def once(self) -> None:
        """Check one score. Raises DatabaseError, PyMongoError, or TimeoutError where the feed does not follow.

        The database's count is of one moment; memory has moved on from it by as many players as it heard of since,
        so that is how far the two may be apart. While nothing moves they must be equal.
        """
        board = self._board
        score = next((score for score in board.sample() if board.rank(score) <= self._max_rank), None)
        if score is None:
            return
        snapshots, before = board.snapshots, board.revision
        counted = 1 + await count_above(self._client, self._players, score)
        async with asyncio.timeout(PATIENCE):
            await self._feed.caught_up()
        rank = board.rank(score)
        if board.snapshots != snapshots:
            return
        if abs(rank - counted) <= board.revision - before:
            self._observe("agreed")
            return
        self._observe("differed")
        log.error("a rank in memory is not the database's: all are read anew", extra={"rank": rank, "counted": counted})
        self._feed.request_resync()
