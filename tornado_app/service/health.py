"""Whether this process can serve, and why not; and how late its event loop runs."""

from __future__ import annotations

import asyncio

from tornado_app.core.errors import DatabaseError
from tornado_app.live.board import Board
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.observability.metrics import Metrics
from tornado_app.runtime.tasks import first_of

MAX_LAG = 5.0
"""Seconds that the change stream may be silent, or behind the database, until this process is not ready."""

PING_EVERY = 1.0
TICK = 0.1


class Health:
    """Watches the database, the feed and the loop."""

    def __init__(self, board: Board, feed: Feed, metrics: Metrics) -> None:
        self._board = board
        self._feed = feed
        self._metrics = metrics
        self._answers = True
        self._worst_tick = 0.0
        self.draining = False

    @property
    def database_answers(self) -> bool:
        """Whether the database answered when it was last asked."""
        return self._answers

    def reasons(self) -> list[str]:
        """Why no traffic should come; empty when it should."""
        found = []
        if self.draining:
            found.append("draining")
        if not self._answers:
            found.append("the database does not answer")
        if self._feed.lag > MAX_LAG:
            found.append("the change stream is down or behind")
        if not self._board.ready:
            found.append("the ranks are being read")
        return found

    def refresh(self) -> None:
        """Bring the gauges up to date, for a scrape."""
        self._metrics.ready.set(not self.reasons())
        self._metrics.draining.set(self.draining)
        self._metrics.database_up.set(self._answers)
        self._metrics.feed_lag.set(self._feed.lag)
        self._metrics.loop_lag.set(self._worst_tick)
        self._worst_tick = 0.0
        if self._board.ready:
            self._metrics.ranked.set(self._board.total)

    async def run(self) -> None:
        """Watch until cancelled."""
        await first_of(self._watch_database(), self._watch_loop())

    async def _watch_database(self) -> None:
        while True:
            try:
                await self._feed.probe()
                self._answers = True
            except DatabaseError:
                self._answers = False
            await asyncio.sleep(PING_EVERY)

    async def _watch_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self._worst_tick = max(self._worst_tick, loop.time() - due)
