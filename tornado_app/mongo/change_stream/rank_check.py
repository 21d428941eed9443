"""Compares ranks in memory with the database: one score at a time, while both change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from pymongo.errors import PyMongoError

from tornado_app.core.boards import Order
from tornado_app.core.errors import DatabaseError
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.change_stream.snapshot import count_above
from tornado_app.mongo.client.driver import Client
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.ranks")

EVERY = 60.0
"""Seconds between two checks."""

PATIENCE = 30.0
"""Seconds for the feed to reach the database's time."""

MAX_RANK = 100_000
"""The deepest rank that is checked: the database counts all players above it."""


class Ranked(Protocol):
    """The board in memory. `revision` grows with every change, `snapshots` with every new snapshot."""

    snapshots: int
    revision: int

    def sample(self) -> list[int]:
        """Scores to check, the likeliest error first."""

    def rank(self, score: int) -> int:
        """1 + number of players with a better score. Raises DatabaseError while the ranks are being read."""


class RankCheck:
    """Checks at intervals. Wrong ranks are read again.

    `observe` is called with `agreed` or `differed`.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        board: Ranked,
        feed: Feed,
        *,
        collection: str = "players",
        order: Order = Order.DESCENDING,
        max_rank: int = MAX_RANK,
        observe: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._client = client
        self._players: Any = client[database][collection]
        self._order = order
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
        """Check one score. Raises DatabaseError, PyMongoError, or TimeoutError if the feed does not follow.

        The database's count is of one moment; memory has since changed by as many players as the feed has reported,
        which is the allowed difference. Without changes they must be equal.
        """
        board = self._board
        score = next((score for score in board.sample() if board.rank(score) <= self._max_rank), None)
        if score is None:
            return
        snapshots, before = board.snapshots, board.revision
        counted = 1 + await count_above(self._client, self._players, score, self._order)
        async with asyncio.timeout(PATIENCE):
            await self._feed.caught_up()
        rank = board.rank(score)
        if board.snapshots != snapshots:
            return
        if abs(rank - counted) <= board.revision - before:
            self._observe("agreed")
            return
        self._observe("differed")
        log.error(
            "a rank in memory differs from the database, reading all ranks again",
            extra={"rank": rank, "counted": counted},
        )
        self._feed.request_resync()
