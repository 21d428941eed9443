"""Group commit: while batches are in flight, submissions wait; the next batch contains all of them.

Without load each submission is a batch of its own; under load a batch contains the submissions that arrived during the
one before. A player is in one batch at a time.

A caller that submits again as soon as it is answered would miss the batch that begins at that moment, and then every
other one: half of such callers would share each batch. So a batch that begins alone waits for a moment until as many
submissions have arrived as were known at the end of the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tornado_app.core.errors import DatabaseError, Overloaded, ShuttingDown
from tornado_app.core.model import Action, Receipt
from tornado_app.mongo.client.driver import race_pause

log = logging.getLogger("leaderboard.commit")

MIN_BATCH_TIME = 0.2
"""Minimum seconds for a batch: a submission that has less left is refused, so that it does not fail the rest."""

MIN_BATCH = 64
"""Submissions that may share a batch after a slow one."""

MAX_FOLDED = 64
"""Submissions of one player in one batch: they become one update, and the others share the batch with them."""

MAX_IN_FLIGHT = 2
"""Batches that are written at the same time."""

MIN_CONCURRENT_BATCH = 128
"""Submissions that must wait before a further batch begins beside those in flight: in small batches each costs more."""

GATHER = 0.001
"""Maximum seconds after a batch for which the next one waits for the callers that were answered."""

MIN_MEASURED = 0.001

CLOSE_PAUSE = 0.005
"""Seconds between two checks of `close` whether all submissions are answered."""


class PendingWrite:
    """A waiting action, and the future of its answer.

    `write_id` is the same in each attempt; `deadline` is in loop time. `lost_races`: attempts that missed because
    another write came first. `read_first`: the answer of an attempt was lost, so the player's document must be read.
    `existed`: the player existed in an earlier attempt. `settled`: it is answered or refused.
    """

    __slots__ = ("action", "answer", "deadline", "existed", "lost_races", "read_first", "settled", "write_id")

    def __init__(self, action: Action, write_id: str, answer: asyncio.Future[Receipt], deadline: float) -> None:
        self.action = action
        self.write_id = write_id
        self.answer = answer
        self.deadline = deadline
        self.lost_races = 0
        self.read_first = False
        self.existed = False
        self.settled = False

    @property
    def pause(self) -> float:
        """Seconds until the next attempt; the first retry follows at once."""
        return 0.0 if self.lost_races < 2 else race_pause(self.lost_races - 2)

    def succeed(self, receipt: Receipt) -> None:
        """Answer, unless the caller has gone."""
        self.settled = True
        if not self.answer.done():
            self.answer.set_result(receipt)

    def fail(self, error: Exception) -> None:
        """Refuse, unless the caller has gone."""
        self.settled = True
        if not self.answer.done():
            self.answer.set_exception(error.with_traceback(None))  # it would keep the frames of the batch in memory
            self.answer.exception()  # a caller that went away leaves no "never retrieved" behind


class PendingLimit:
    """The maximum number of waiting submissions of all boards together, and how many wait."""

    __slots__ = ("max_waiting", "waiting")

    def __init__(self, max_waiting: int = 10_000) -> None:
        self.max_waiting = max_waiting
        self.waiting = 0


class WriteBatch(Protocol):
    """Applies a batch within `seconds`; returns the submissions to try again, each of which is safe to repeat.

    It answers all others. Raises only an error of the whole batch that cannot be repeated: DatabaseError if the
    database refused it, which is logged.
    """

    def __call__(self, batch: Sequence[PendingWrite], seconds: float, /) -> Awaitable[Sequence[PendingWrite]]:
        """Apply the batch."""


class GroupCommit:
    """Collects submissions and passes them to `write_batch` in batches.

    `limit` bounds the memory, `max_batch` a batch, and `timeout` (seconds) the wait for an answer. To keep that,
    a batch carries what the rate of the batch before does in a quarter of it, and as many may wait as that does in half
    of it, `capacity`: more is refused with Overloaded. Up to `max_in_flight` batches are in flight; a further one only
    begins for at least `min_concurrent` submissions. `gather`: as GATHER. `observe` receives the size of each batch.
    """

    def __init__(
        self,
        write_batch: WriteBatch,
        *,
        timeout: float = 5.0,
        limit: PendingLimit | None = None,
        max_batch: int = 512,
        max_in_flight: int = MAX_IN_FLIGHT,
        min_concurrent: int = MIN_CONCURRENT_BATCH,
        gather: float = GATHER,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._write_batch = write_batch
        self._timeout = timeout
        self._limit = limit or PendingLimit()
        self.capacity = self._limit.max_waiting
        self._max_batch = self._batch_limit = max_batch
        self._max_in_flight = max_in_flight
        self._min_concurrent = min_concurrent
        self._gather_time = gather
        self._gather_until = 0.0
        self._expected = 1
        self._gathered = asyncio.Event()
        self._observe = observe
        self._waiting: deque[PendingWrite] = deque()
        self._blocked: dict[str, deque[PendingWrite]] = {}
        self._blocked_count = 0
        self._paused: set[PendingWrite] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._in_flight = 0
        self._closing = False

    def submit(self, action: Action, write_id: str) -> asyncio.Future[Receipt]:
        """The future of the action's answer. Raises Overloaded when too many wait, ShuttingDown once closed.

        Cancelling the future gives up the answer, not the action.
        """
        if self._closing:
            raise ShuttingDown(retry_after=1.0)
        if self.full:
            raise Overloaded(retry_after=1.0)
        self._limit.waiting += 1
        loop = asyncio.get_running_loop()
        pending = PendingWrite(action, write_id, loop.create_future(), loop.time() + self._timeout)
        self._add(pending)
        return pending.answer

    @property
    def waiting(self) -> int:
        """Submissions that are in no batch."""
        return len(self._waiting) + self._blocked_count + len(self._paused)

    @property
    def full(self) -> bool:
        """Whether the next submission is refused: too many wait, here or on all boards together."""
        return self.waiting >= self.capacity or self._limit.waiting >= self._limit.max_waiting

    @property
    def busy(self) -> bool:
        """Whether a batch is in flight."""
        return bool(self._starting or self._in_flight)

    async def close(self) -> None:
        """Accept no more, and answer all waiting submissions."""
        self._closing = True
        while self.busy or self._paused:  # noqa: ASYNC110  # it ends once, and rarely waits
            await asyncio.sleep(CLOSE_PAUSE)

    def _add(self, pending: PendingWrite) -> None:
        """Queue a submission, behind its player's batch if one is in flight."""
        blocked = self._blocked.get(pending.action.user_id)
        if blocked is not None:
            blocked.append(pending)
            self._blocked_count += 1
        else:
            self._waiting.append(pending)
            if len(self._waiting) >= self._expected:
                self._gathered.set()
            self._work()

    def _work(self) -> None:
        """Begin a batch, if one is due."""
        batches = self._starting + self._in_flight
        if batches >= self._max_in_flight:
            return
        if batches and len(self._waiting) < self._min_concurrent * (self._starting + 1):
            return
        self._starting += 1
        task = asyncio.get_running_loop().create_task(self._run(), name="group-commit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        """Write batches one after the other, while this task is the only one or enough submissions wait."""
        while True:
            if not self._in_flight and self._starting == 1:
                await self._gather()
            self._starting -= 1
            batch = self._next_batch()
            if not batch:
                break  # all wait for batches in flight
            self._in_flight += 1
            retried: Sequence[PendingWrite] = ()
            try:
                retried = await self._write(batch)
            finally:
                self._in_flight -= 1
                self._release(batch)
            self._expected = min(len(batch) + len(self._waiting), self._min_concurrent)
            self._gather_until = asyncio.get_running_loop().time() + self._gather_time
            self._retry(retried)
            if not self._waiting or (self.busy and len(self._waiting) < self._min_concurrent):
                break
            self._starting += 1

    async def _gather(self) -> None:
        """Wait for the callers that were answered by the last batch, for at most `gather` after it."""
        if len(self._waiting) >= self._expected or asyncio.get_running_loop().time() >= self._gather_until:
            return
        self._gathered.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._gather_until):
                await self._gathered.wait()

    def _next_batch(self) -> list[PendingWrite]:
        """The next batch. Further submissions of its players wait until it is written."""
        batch: list[PendingWrite] = []
        folded: dict[str, int] = {}
        max_folded = min(MAX_FOLDED, max(1, self._batch_limit // 4))
        last_moment = asyncio.get_running_loop().time() + MIN_BATCH_TIME
        waiting = self.waiting
        for _ in range(len(self._waiting)):
            if len(batch) == self._batch_limit:
                break
            pending = self._waiting.popleft()
            if pending.deadline < last_moment:  # its batch would have no time, and all others with it
                pending.fail(DatabaseError(retry_after=1.0))
                continue
            user_id = pending.action.user_id
            count = folded.get(user_id, 0)
            if count == 0 and user_id not in self._blocked:
                self._blocked[user_id] = deque()
            elif not 0 < count < max_folded:  # in another batch, or often enough in this one
                self._blocked[user_id].append(pending)
                self._blocked_count += 1
                continue
            folded[user_id] = count + 1
            batch.append(pending)
        self._limit.waiting += self.waiting - waiting
        return batch

    def _release(self, batch: Sequence[PendingWrite]) -> None:
        """Queue the submissions that waited for this batch, behind all others, so that no player blocks the queue."""
        for user_id in {pending.action.user_id for pending in batch}:
            blocked = self._blocked.pop(user_id)
            if blocked:
                self._blocked_count -= len(blocked)
                self._waiting.extend(blocked)

    async def _write(self, batch: list[PendingWrite]) -> Sequence[PendingWrite]:
        loop = asyncio.get_running_loop()
        began, in_flight = loop.time(), self._in_flight
        self._observe(len(batch))
        try:
            return await self._write_batch(batch, min([pending.deadline for pending in batch]) - began)
        except Exception as error:  # the submissions must be answered, and the next batch must run
            if not isinstance(error, DatabaseError):
                log.exception("a batch of %d score updates failed", len(batch))
            for pending in batch:
                pending.fail(DatabaseError(retry_after=1.0))
            return ()
        finally:
            self._adapt_limits(in_flight * len(batch) / max(loop.time() - began, MIN_MEASURED))

    def _adapt_limits(self, rate: float) -> None:
        """Bound batches and the queue by `rate`, submissions a second; a single slow batch does not block the queue."""
        in_time = int(rate * self._timeout)
        self._batch_limit = min(self._max_batch, max(MIN_BATCH, in_time // 4))
        self.capacity = min(self._limit.max_waiting, max(self._max_batch, in_time // 2))

    def _retry(self, retried: Sequence[PendingWrite]) -> None:
        """Put the submissions to retry in front, in their order.

        A submission that keeps missing pauses first, and the others do not wait for it.
        """
        loop = asyncio.get_running_loop()
        self._limit.waiting += len(retried)
        for pending in reversed(retried):
            if pause := pending.pause:
                self._paused.add(pending)
                loop.call_later(pause, self._resume, pending)
            else:
                self._waiting.appendleft(pending)

    def _resume(self, pending: PendingWrite) -> None:
        self._paused.remove(pending)
        self._add(pending)
