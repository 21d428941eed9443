"""Periods on a database with a clock that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime

from tornado_app.core.boards import Board
from tornado_app.core.periods import to_instant
from tornado_app.mongo.client.driver import Client
from tornado_app.mongo.periods.plan import SharedPlan
from tornado_app.mongo.periods.planner import Planner

START = to_instant(datetime(2040, 1, 2, 10, tzinfo=UTC))
"""In the future of the database, so that each end is far enough ahead of it."""

HOUR = 3_600_000


class MovableClock:
    """A clock of the database that shows `time`."""

    def __init__(self, time: int = START) -> None:
        self.time = time
        self.error = 0

    def now(self) -> int:
        return self.time

    async def measure(self) -> None:
        """The time is the test's."""


class Process:
    """What one process of the service has of periods; `clock` is the database's, so all share it."""

    def __init__(self, client: Client, database: str, clock: MovableClock, boards: tuple[Board, ...]) -> None:
        self.boards = boards
        self.clock = clock
        self.plan = SharedPlan(client, database, clock)
        self.planner = Planner(client, database, self.plan, clock, lambda: self.boards)

    async def seal_after(self, milliseconds: int) -> None:
        """Notice what is over, and seal it this much later."""
        await self.plan.refresh()
        await self.planner.seal()
        self.clock.time += milliseconds
        await self.planner.plan()
        await self.planner.seal()
