"""Checks whether this process is ready, and measures the delays of its event loop and of its board."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tornado_app.core.boards import View
from tornado_app.core.errors import DatabaseError
from tornado_app.core.model import TopPlayers
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.client.cluster_time import wall_clock
from tornado_app.observability.metrics import Metrics
from tornado_app.runtime.tasks import run_until_first_exits
from tornado_app.service.boards import Boards

MAX_LAG = 5.0
"""Maximum seconds that the change stream may be silent or behind the database while the process is ready."""

PING_INTERVAL = 1.0
"""Seconds between two checks of the database."""

TICK = 0.1


class Health:
    """Monitors the database, the feed, the served boards and the event loop."""

    def __init__(self, boards: Boards, feed: Feed, metrics: Metrics, *, ping_interval: float = PING_INTERVAL) -> None:
        self._ping_interval = ping_interval
        self._boards = boards
        self._feed = feed
        self._metrics = metrics
        self._answers = True
        self._worst_tick = 0.0
        self.draining = False

    @property
    def database_answers(self) -> bool:
        """Whether the last check of the database succeeded."""
        return self._answers

    def reasons(self) -> list[str]:
        """Why the process is not ready; empty if it is."""
        found = []
        if self.draining:
            found.append("draining")
        if not self._answers:
            found.append("the database does not answer")
        if self._feed.lag > MAX_LAG:
            found.append("the change stream is down or behind")
        if not self._boards.ready:
            found.append("the ranks are being read")
        return found

    def refresh(self) -> None:
        """Update the gauges for a scrape."""
        self._metrics.ready.set(not self.reasons())
        self._metrics.draining.set(self.draining)
        self._metrics.database_up.set(self._answers)
        self._metrics.feed_lag.set(self._feed.lag)
        self._metrics.loop_lag.set(self._worst_tick)
        self._worst_tick = 0.0
        if self._boards.ready:
            self._metrics.ranked.clear()  # of boards that were removed
            for served in self._boards:
                self._metrics.ranked.labels(served.definition.name).set(served.live.total)

    async def run(self) -> None:
        """Monitor until cancelled."""
        await run_until_first_exits(self._watch_database(), self._watch_loop())

    async def _watch_database(self) -> None:
        while True:
            try:
                await self._feed.probe()
                self._answers = True
            except DatabaseError:
                self._answers = False
            await asyncio.sleep(self._ping_interval)

    async def _watch_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self._worst_tick = max(self._worst_tick, loop.time() - due)


class Propagation:
    """Measures how long an update takes from the database to the sockets; `observe` is called with the seconds."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._newest: dict[View, int] = {}

    def shown(self, view: View, top: TopPlayers) -> None:
        """The top 10 was sent to all sockets of a view. It counts if an update in it is newer than all shown before.

        The first top 10 does not count, nor does one that only a hidden player has changed.
        """
        newest = max((standing.player.updated_at for standing in top.standings), default=0)
        before = self._newest.get(view)
        self._newest[view] = max(newest, before or 0)
        if before is not None and newest > before:
            self._observe(max(0.0, (wall_clock() - newest) / 1000))
