"""Plans the epochs of all boards and seals those that are over, in one process at a time.

leases: {_id: "periods", holder, until, term}

The holder of the lease seals, and continues the plan of the boards that it serves. It may have other boards than this
process, such as those of a former boards file, so each process also plans what would otherwise have no open epoch.
Processes that plan at once leave one plan: each change is made on a condition (plan.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from itertools import islice
from typing import Any

from pymongo.errors import PyMongoError

from tornado_app.core.boards import Board, View
from tornado_app.core.errors import DatabaseError
from tornado_app.core.periods import Epoch, Period
from tornado_app.core.plan import NOTICE, continued
from tornado_app.mongo.client.driver import Client
from tornado_app.mongo.ledger.lease import TTL, Lease, LeaseLost
from tornado_app.mongo.periods.clock import Clock
from tornado_app.mongo.periods.plan import INTERVAL, MalformedPlan, PlanChanged, SharedPlan
from tornado_app.mongo.periods.sealing import Sealer, periods_of
from tornado_app.runtime.tasks import jittered, run_until_first_exits

log = logging.getLogger("leaderboard.periods")

LEASE = "periods"

URGENT = NOTICE // 2
"""Milliseconds before the last end that is planned from which on each process continues a plan. The holder of the lease
continues it before, also after an end by hand."""

MAX_ADDED = 200
"""Epochs of a period that are added before those of the next period: about 20 ms of work."""


class Planner:
    """Seals while this process holds the lease, and plans also without it. `boards`: those that are served now.

    `ttl`: of the lease, in seconds.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        plan: SharedPlan,
        clock: Clock,
        boards: Callable[[], Sequence[Board]],
        *,
        ttl: float = TTL,
    ) -> None:
        self.lease = Lease(client[database], LEASE, ttl=ttl)
        self._plan = plan
        self._clock = clock
        self._boards = boards
        self._sealer = Sealer(client, database, plan, clock)

    @property
    def holds(self) -> bool:
        """Whether this process holds the lease."""
        return self.lease.left > 0

    async def run(self) -> None:
        """Plan and seal until cancelled, and retry after every error."""
        await run_until_first_exits(self._hold(), self._repeat(self.plan_urgent))

    async def _hold(self) -> None:
        while True:
            try:
                if await self.lease.take() is not None:
                    log.info("this process plans periods")
                    await run_until_first_exits(self._renew(), self._repeat(self.plan), self._seal())
            except LeaseLost:
                log.warning("the lease of the plan of periods is lost")
            except PyMongoError as error:
                log.warning("periods are not planned for now, trying again: %s", type(error).__name__)
            except Exception:  # the boards continue without new epochs
                log.exception("periods are not planned for now, trying again")
            await asyncio.sleep(jittered(self.lease.pause, 0.7))

    async def close(self) -> None:
        """Release the lease, after `run` has ended."""
        try:
            await self.lease.release()
        except PyMongoError as error:
            log.warning("the lease of the plan of periods was not released, and expires: %s", type(error).__name__)

    async def plan(self) -> None:
        """Continue the plan of each period. Raises PyMongoError, PlanChanged and MalformedPlan."""
        await self._continue_each(self._periods())

    async def plan_urgent(self) -> None:
        """Continue the plan of each period that the holder of the lease leaves without one. Raises as `plan`."""
        if self.holds or self._plan.current is None:
            return
        soon = self._clock.now() + URGENT
        urgent = [(view, period) for view, period in self._periods() if self._ends_before(view, soon)]
        if urgent:
            await self._continue_each(urgent)

    def _periods(self) -> list[tuple[View, Period]]:
        return [(view, period) for view, (_, period) in periods_of(self._boards()).items()]

    def _ends_before(self, view: View, moment: int) -> bool:
        """Whether no epoch of a period is known that is open at a time, and none after it."""
        known = self._plan.known(view)
        end = known[-1].end if known else 0
        return end is not None and end < moment

    async def _continue_each(self, periods: list[tuple[View, Period]]) -> None:
        await self._plan.refresh()
        left = [(view, period, self._plan.known(view)) for view, period in periods]
        added = False
        while left:  # one with many missed epochs must not keep the others from theirs
            steps = [(view, period, await self._continue(view, period, known)) for view, period, known in left]
            added = added or any(new for _, _, new in steps)
            left = [step for step in steps if len(step[2]) == MAX_ADDED]
        if added:
            await self._plan.refresh()

    async def seal(self) -> None:
        """Seal what is due. Raises as `plan`."""
        await self._sealer.run_once(self._boards())

    async def _continue(self, view: View, period: Period, known: Sequence[Epoch]) -> Sequence[Epoch]:
        """Add up to MAX_ADDED epochs after the known ones; returns those that were missing."""
        missing = list(islice(continued(known, period.schedule, self._clock.now()), MAX_ADDED))
        new = missing
        if missing and known and missing[0].number == known[-1].number:
            last, *new = missing
            if last.end is not None:
                await self._plan.end(view, known[-1], last.end)
        if new:
            await self._plan.add(view, new)
        return missing

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.lease.pause)
            try:
                if await self.lease.take() is None:
                    raise LeaseLost
            except PyMongoError as error:
                if self.lease.left == 0:
                    raise LeaseLost from error

    async def _seal(self) -> None:
        await self._sealer.clean_up()
        await self._repeat(self.seal)

    async def _repeat(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Repeat a step until cancelled; an error is logged, and the next turn tries again."""
        while True:
            try:
                await step()
            except PlanChanged:
                log.info("another process changed the plan of periods")
            except (PyMongoError, DatabaseError, MalformedPlan) as error:
                log.warning("periods: %s failed, trying again: %s", step.__name__, error)
            except Exception:  # the boards continue with the epochs that are planned
                log.exception("periods: %s failed, trying again", step.__name__)
            await asyncio.sleep(INTERVAL)
