"""Compares ranks in memory with the database: one score at a time, while both change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from pymongo.errors import PyMongoError

from tornado_app.core.boards import Board, View
from tornado_app.core.errors import DatabaseError
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.change_stream.snapshot import ViewSource, count_above
from tornado_app.mongo.client.driver import Client
from tornado_app.mongo.players.documents import ViewFields, collection_of
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.ranks")

EVERY, MIN_PAUSE = 60.0, 5.0
"""Seconds between two checks of a board, and between any two checks at least: from 13 boards on, a board is checked
less often."""

PATIENCE = 30.0
"""Seconds for the feed to reach the database's time."""

MAX_RANK = 100_000
"""The deepest rank that is checked: the database counts all players above it."""


class Ranked(Protocol):
    """A view in memory. `revision` grows with every change, `snapshots` with every new snapshot or epoch."""

    @property
    def view(self) -> View:
        """The view."""

    epoch: int | None

    snapshots: int
    revision: int

    def sample(self) -> list[int]:
        """Scores to check, the likeliest error first."""

    def rank(self, score: int) -> int:
        """1 + number of players with a better score. Raises DatabaseError while the ranks are being read."""


class RankCheck:
    """Checks one view after the other, at intervals. Wrong ranks are read again.

    `boards`: the views that are served now, each with its board. `observe` is called with `agreed` or `differed`.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        boards: Callable[[], Iterable[tuple[Board, Ranked]]],
        feed: Feed,
        *,
        max_rank: int = MAX_RANK,
        observe: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._client = client
        self._database: Any = client[database]
        self._boards = boards
        self._feed = feed
        self._max_rank = max_rank
        self._observe = observe

    async def run(self) -> None:
        """Check until cancelled."""
        waiting: list[View] = []
        while True:
            count = len(list(self._boards()))
            await asyncio.sleep(jittered(max(EVERY / max(count, 1), MIN_PAUSE)))
            views = {ranked.view: (board, ranked) for board, ranked in self._boards()}
            waiting = [view for view in waiting if view in views] or list(views)
            if not waiting:
                continue
            view = waiting.pop(0)
            try:
                await self.check(*views[view])
            except (DatabaseError, PyMongoError, TimeoutError) as error:
                log.info("the ranks of board %s could not be checked: %s", view.board, type(error).__name__)

    async def check(self, board: Board, ranked: Ranked) -> None:
        """Check one score of a view. Raises DatabaseError, PyMongoError, or TimeoutError if the feed does not follow.

        The database's count is of one moment; memory has since changed by as many players as the feed has reported,
        which is the allowed difference. Without changes they must be equal.
        """
        score = next((score for score in ranked.sample() if ranked.rank(score) <= self._max_rank), None)
        if score is None:
            return
        snapshots, before = ranked.snapshots, ranked.revision
        players, fields = self._database[collection_of(board.name)], ViewFields.of(ranked.view.period)
        source = ViewSource(players, fields, ranked.epoch)
        counted = 1 + await count_above(self._client, source, score, board.order)
        async with asyncio.timeout(PATIENCE):
            await self._feed.caught_up()
        rank = ranked.rank(score)
        if ranked.snapshots != snapshots or all(served is not ranked for _, served in self._boards()):
            return  # read again, or not served any more
        if abs(rank - counted) <= ranked.revision - before:
            self._observe("agreed")
            return
        self._observe("differed")
        log.error(
            "a rank in memory differs from the database, reading all ranks again",
            extra={"board": board.name, "rank": rank, "counted": counted},
        )
        self._feed.request_resync()
