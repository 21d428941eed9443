"""The periods of the served boards: which epoch is open, for writes, views and the API."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import msgspec

from tornado_app.core.boards import Board, View
from tornado_app.core.errors import DatabaseError, PeriodNotFound, StartupError
from tornado_app.core.interfaces import Change
from tornado_app.core.model import Place
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.periods import Epoch, EpochState
from tornado_app.core.plan import Announcement, Plan, announcement
from tornado_app.core.slots import NO_EPOCHS, OpenEpochs
from tornado_app.core.versions import seconds_of
from tornado_app.live.views import LiveView
from tornado_app.mongo.client.driver import Client
from tornado_app.mongo.client.errors import database_errors
from tornado_app.mongo.periods.clock import DatabaseClock
from tornado_app.mongo.periods.disqualification import Disqualifications
from tornado_app.mongo.periods.plan import MalformedPlan, PlanChanged, SharedPlan
from tornado_app.mongo.periods.planner import Planner
from tornado_app.mongo.periods.results import Results
from tornado_app.observability.metrics import Metrics
from tornado_app.runtime.tasks import jittered, run_until_first_exits

log = logging.getLogger("leaderboard.periods")

POLL = 1.0
"""Maximum seconds between two looks at the clock for an epoch that begins."""

PLANNING_POLL = 0.05
"""Seconds between two looks at the plan for the epochs of a board that is added."""

PLANNING_TIMEOUT = 60.0
"""Seconds in which these epochs must be planned. A restart continues where a plan of many missed epochs was."""


class Periods:
    """The plan of this process, and the results. It asks the database only while a board has periods.

    `boards`: those that are served or about to be. `views`: the live views of periods. `announce` is called with what
    their clients should know, which may be the same as before.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        boards: Callable[[], Sequence[Board]],
        views: Callable[[], Iterable[LiveView]],
        metrics: Metrics,
        *,
        announce: Callable[[View, Announcement], None] = lambda view, announced: None,
        timeout: float = 5.0,
    ) -> None:
        self._boards = boards
        self._views = views
        self._metrics = metrics
        self._announce = announce
        self._timeout = timeout
        self._clock = DatabaseClock(client)
        self._plan = SharedPlan(client, database, self._clock, on_change=lambda plan: self._changed.set())
        self._planner = Planner(client, database, self._plan, self._clock, boards)
        self._results = Results(client, database, timeout=timeout)
        self._disqualifications = Disqualifications(client, database)
        self._needed = asyncio.Event()
        self._changed = asyncio.Event()

    async def wait_planned(self, board: Board, limit: float = PLANNING_TIMEOUT) -> None:
        """Wait until each period of a board has an open epoch. Needs `run`. Raises StartupError after the limit."""
        if not board.periods:
            return
        self._needed.set()
        try:
            async with asyncio.timeout(limit):
                while not self._is_planned(board):  # noqa: ASYNC110  # an epoch also opens by time alone
                    await asyncio.sleep(PLANNING_POLL)
        except TimeoutError:
            raise StartupError(
                f"the periods of board {board.name} were not planned within {limit:g} s: the lines of "
                "leaderboard.periods in the log say why; check that the database accepts writes"
            ) from None

    def _is_planned(self, board: Board) -> bool:
        try:
            self.open_epochs(board)
        except DatabaseError:
            return False
        return True

    # -- for stores and views -------------------------------------------------------------------------

    def open_epochs(self, board: Board) -> OpenEpochs:
        """The epochs that a write on a board counts in now. Raises DatabaseError while they are not known."""
        if not board.periods:
            return NO_EPOCHS
        epochs = self._known().open_epochs(board, self._clock.now())
        if epochs is None:
            raise _loading("the plan of periods is too old, or has no epoch for now")
        return epochs

    def number(self, view: View) -> int:
        """The number of the open epoch, or of the last one that is known; 1 before there is a plan."""
        if self._plan.current is None:
            return 1
        now = self._clock.now()
        begun = [epoch.number for epoch in self._plan.current.epochs.get(view, ()) if epoch.start <= now]
        return max(begun, default=1)

    async def run(self) -> None:
        """Plan, let the views move on to the epochs that begin, and announce them, until cancelled."""
        await self._needed.wait()
        await self._prepare()
        await run_until_first_exits(self._plan.run(), self._planner.run(), self._begin_epochs())

    async def _prepare(self) -> None:
        """Prepare the database, and compare the clock with it, once it answers: there may be an election now."""
        while True:
            try:
                async with database_errors(self._timeout):
                    await self._plan.prepare()
                    await self._clock.measure()
            except DatabaseError:
                await asyncio.sleep(jittered(POLL))
            else:
                return

    async def close(self) -> None:
        """Let another process plan at once."""
        if self._planner.holds:
            await self._planner.close()

    async def _begin_epochs(self) -> None:
        while True:
            self._changed.clear()
            pause = POLL
            plan = self._plan.current
            if plan is not None:
                now = self._clock.now()
                for live in self._views():
                    epoch = plan.open(live.view, now)
                    if epoch is None:
                        continue
                    live.begin(epoch.number)
                    announced, until = announcement(epoch, now)
                    self._announce(live.view, announced)
                    if until is not None:
                        pause = min(pause, (until - now) / 1000)
            try:
                async with asyncio.timeout(max(pause, 0.001)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    # -- metrics --------------------------------------------------------------------------------------

    def refresh_metrics(self) -> None:
        """Update the gauges for a scrape."""
        self._metrics.period_remaining.clear()  # of periods that were removed
        self._metrics.period_unsealed.clear()
        plan = self._plan.current
        if plan is None:
            return
        now = self._clock.now()
        for board in self._boards():
            for period in board.periods:
                view = View(board.name, period.name)
                self._metrics.late_updates.labels(*view)  # begins at 0
                self._metrics.period_unsealed.labels(*view).set(plan.unsealed_for(view, period.review, now) / 1000)
                epoch = plan.open(view, now)
                if epoch is not None and epoch.end is not None:
                    self._metrics.period_remaining.labels(*view).set((epoch.end - now) / 1000)

    def on_epoch_score(self, view: View, change: Change) -> None:
        """Count and log an update that the database made after the grace of its epoch, to the second below."""
        plan, number, at = self._plan.current, change.epoch or 0, seconds_of(change.version) * 1000
        if plan is None or not plan.is_late(view, number, at):
            return
        self._metrics.late_updates.labels(*view).inc()
        log.warning(
            "a score update came after its epoch had ended, and may be missing in the result",
            extra={
                "event": "late_update",
                "board": view.board,
                "period": view.period,
                "epoch": number,
                "player": change.user_id,
            },
        )

    # -- for the API ----------------------------------------------------------------------------------

    def now(self) -> int:
        """The time of the database, in milliseconds. Raises DatabaseError if it was never measured."""
        return self._clock.now()

    def epochs(self, view: View) -> Sequence[Epoch]:
        """The epochs of a period that are not dropped, oldest first. Raises DatabaseError."""
        return self._known().epochs.get(view, ())

    async def epoch(self, view: View, number: int) -> Epoch | None:
        """An epoch of any state, as another process may have just left it. Raises DatabaseError."""
        known = next((epoch for epoch in self.epochs(view) if epoch.number == number), None)
        if known is not None and known.state is EpochState.SEALED:
            return known
        async with self._plan_errors():
            found = await self._plan.epoch(view, number)
        if found is None or known is None:
            return found
        return msgspec.structs.replace(found, start=known.start)  # exact also if the epoch before was ended by hand

    async def end_now(self, view: View) -> Epoch:
        """End the open epoch in some seconds; returns it with its end. Raises DatabaseError and PeriodNotFound."""
        async with self._plan_errors():
            try:
                return await self._plan.end_now(view)
            except PlanChanged:
                raise PeriodNotFound("The epoch is ending already.") from None

    async def disqualify(self, view: View, number: int, case: ModerationRequest, *, disqualified: bool) -> bool:
        """As `Disqualifications.change`. Raises DatabaseError instead of PyMongoError."""
        async with database_errors(self._timeout):
            return await self._disqualifications.change(view, number, case, disqualified=disqualified)

    async def page(self, view: View, number: int, *, after: int, limit: int) -> list[Place]:
        """As `Results.page`."""
        return await self._results.page(view, number, after=after, limit=limit)

    async def player(self, view: View, number: int, user_id: str) -> Place | None:
        """As `Results.player`."""
        return await self._results.player(view, number, user_id)

    @contextlib.asynccontextmanager
    async def _plan_errors(self) -> AsyncIterator[None]:
        """As `database_errors`, and raises DatabaseError for a document of the plan that another program changed."""
        try:
            async with database_errors(self._timeout):
                yield
        except MalformedPlan as error:
            log.error("the plan of periods cannot be read: %s", error)
            message = "The plan of the periods cannot be read. Tell the operator of this service."
            raise DatabaseError(message, reason="malformed_plan", detail=str(error)) from None

    def _known(self) -> Plan:
        if self._plan.current is None:
            raise _loading("the plan of periods was not read yet")
        return self._plan.current


def _loading(detail: str) -> DatabaseError:
    return DatabaseError("The periods are loading. Try again in a moment.", retry_after=1.0, detail=detail)
