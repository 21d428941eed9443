"""Group commit: while one flush is in flight, submissions wait; the next flush takes them all.

It clocks itself: with no load each submission is a flush of its own and waits for nothing; under load a flush carries
what came in during the one before. What a flush does is the store's business.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tornado_app.core.errors import DatabaseError, Overloaded, ShuttingDown
from tornado_app.core.model import Action, Receipt
from tornado_app.mongo.client.driver import race_pause

log = logging.getLogger("leaderboard.commit")

MIN_FLUSH_TIME = 0.2
"""Seconds that a flush gets at least, so that one nearly expired member does not fail the rest."""

MIN_BATCH = 64
"""So many share a flush however slow the last one was."""

MIN_MEASURED = 0.001

CLOSE_PAUSE = 0.005
"""Seconds between two looks at what still rests, where no flush is under way."""


class PendingWrite:
    """An action on its way, and the future of its answer.

    `write_id` markers this submission however often it is tried; `deadline` is in loop time; `tried` tells that it was,
    and `absent` and `hidden` what that found of the player. `lost_races` counts the tries that another write came
    before.
    """

    __slots__ = ("absent", "action", "answer", "deadline", "hidden", "lost_races", "tried", "write_id")

    def __init__(self, action: Action, write_id: str, answer: asyncio.Future[Receipt], deadline: float) -> None:
        self.action = action
        self.write_id = write_id
        self.answer = answer
        self.deadline = deadline
        self.absent = False
        self.hidden = False
        self.tried = False
        self.lost_races = 0

    @property
    def pause(self) -> float:
        """Seconds until the next try. The second one often knows better than the first, and follows at once."""
        return 0.0 if self.lost_races < 2 else race_pause(self.lost_races - 2)

    def succeed(self, receipt: Receipt) -> None:
        """Answer, unless nobody waits any more."""
        if not self.answer.done():
            self.answer.set_result(receipt)

    def fail(self, error: Exception) -> None:
        """Refuse, unless nobody waits any more."""
        if not self.answer.done():
            self.answer.set_exception(error.with_traceback(None))  # which leads to who holds the answer
            self.answer.exception()  # a caller that went away leaves no "never retrieved" behind


class Flush(Protocol):
    """Applies a batch within `seconds`; returns those to try again, each of which is safe to repeat.

    It answers all others itself. Raises only what concerns the whole batch and cannot be repaired: DatabaseError where
    the database would not, which it has logged.
    """

    def __call__(self, batch: Sequence[PendingWrite], seconds: float, /) -> Awaitable[Sequence[PendingWrite]]:
        """Apply the batch."""


class GroupCommit:
    """Collects submissions and hands them to `flush`, one batch at a time.

    `max_waiting` bounds the memory, `max_batch` a flush, and `timeout` (seconds) the wait for an answer. So that it is
    kept, a flush carries what the pace of the one before does in a quarter of it, and as many may wait as that does in
    half of it, `capacity`: more is refused with Overloaded. `observe` is told the size of each flush.
    """

    def __init__(
        self,
        flush: Flush,
        *,
        timeout: float = 5.0,
        max_waiting: int = 10_000,
        max_batch: int = 512,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._flush = flush
        self._timeout = timeout
        self._max_waiting = self.capacity = max_waiting
        self._max_batch = self._batch_limit = max_batch
        self._observe = observe
        self._waiting: deque[PendingWrite] = deque()
        self._paused: set[PendingWrite] = set()
        self._running: asyncio.Task[None] | None = None
        self._closing = False

    def submit(self, action: Action, write_id: str) -> asyncio.Future[Receipt]:
        """The future of the action's answer. Raises Overloaded when too many wait, ShuttingDown once closed.

        Cancelling the future gives up the answer, not the action.
        """
        if self._closing:
            raise ShuttingDown(retry_after=1.0)
        if self.waiting >= self.capacity:
            raise Overloaded(retry_after=1.0)
        loop = asyncio.get_running_loop()
        pending = PendingWrite(action, write_id, loop.create_future(), loop.time() + self._timeout)
        self._waiting.append(pending)
        self._work()
        return pending.answer

    @property
    def waiting(self) -> int:
        """Submissions that no flush has taken yet."""
        return len(self._waiting) + len(self._paused)

    @property
    def busy(self) -> bool:
        """Whether a flush is under way."""
        return self._running is not None

    async def close(self) -> None:
        """Take no more, and answer all who wait."""
        self._closing = True
        while self._running is not None or self._paused:
            await (self._running or asyncio.sleep(CLOSE_PAUSE))

    def _work(self) -> None:
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run(), name="group-commit")

    async def _run(self) -> None:
        try:
            while self._waiting:
                size = min(len(self._waiting), self._batch_limit)
                batch = [self._waiting.popleft() for _ in range(size)]
                self._requeue(await self._flush_one(batch))
        finally:
            self._running = None

    async def _flush_one(self, batch: list[PendingWrite]) -> Sequence[PendingWrite]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        remaining = min(pending.deadline for pending in batch) - began
        self._observe(len(batch))
        try:
            return await self._flush(batch, max(remaining, MIN_FLUSH_TIME))
        except Exception as error:  # whatever it is, those who wait must be answered, and the next batch must run
            if not isinstance(error, DatabaseError):
                log.exception("a batch of %d score updates failed", len(batch))
            for pending in batch:
                pending.fail(DatabaseError(retry_after=1.0))
            return ()
        finally:
            self._adapt_limits(len(batch) / max(loop.time() - began, MIN_MEASURED))

    def _adapt_limits(self, pace: float) -> None:
        """Bound flushes and those who wait by `pace`, submissions a second; a slow moment alone closes no door."""
        in_time = int(pace * self._timeout)
        self._batch_limit = min(self._max_batch, max(MIN_BATCH, in_time // 4))
        self.capacity = min(self._max_waiting, max(self._max_batch, in_time // 2))

    def _requeue(self, again: Sequence[PendingWrite]) -> None:
        """Put those to repeat in front, in their order, and let go of all whose time is up.

        One that keeps losing rests first, and the others do not wait for it.
        """
        loop = asyncio.get_running_loop()
        for pending in reversed(again):
            if pause := pending.pause:
                self._paused.add(pending)
                loop.call_later(pause, self._resume, pending)
            else:
                self._waiting.appendleft(pending)
        while self._waiting and self._waiting[0].deadline <= loop.time():
            self._waiting.popleft().fail(DatabaseError(retry_after=1.0))

    def _resume(self, pending: PendingWrite) -> None:
        self._paused.remove(pending)
        if pending.deadline <= asyncio.get_running_loop().time():
            pending.fail(DatabaseError(retry_after=1.0))
            return
        self._waiting.appendleft(pending)
        self._work()
