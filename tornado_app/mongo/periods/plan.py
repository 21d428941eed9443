"""The plan of epochs in the database, and each process's copy of it.

    periods: {_id: "<board>.<period>.<epoch>", board, period, epoch, start, end?, state, sealing?, rows?, erased?,
              sha256?, sealedAt?, erasing?, disqualified?: [{player, by, reason, at}], revision}

An epoch begins at the end of the one before; so one write moves both, and `start` is exact once the epoch is sealed.
A change is made on the condition of the state and the end that it was decided from, so of two planners one wins.
`sealing`: the result is being made. `erasing`: the players whose rows an erasure removes (erasure.py). `disqualified`:
those who are left out of the result (disqualification.py).
`revision` is the cluster time of the document's last change. A process reads once a second which documents have a newer
one; a version of the whole plan could not be written in the same write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec
import pymongo
from bson import Timestamp
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from tornado_app.core.boards import View
from tornado_app.core.model import utc_datetime
from tornado_app.core.periods import Epoch, EpochState
from tornado_app.core.plan import NOTICE, Plan
from tornado_app.mongo.client.driver import DURABLE, Client, Document, maybe_await
from tornado_app.mongo.periods.clock import Clock
from tornado_app.mongo.players.documents import milliseconds
from tornado_app.runtime.tasks import Ticker

log = logging.getLogger("leaderboard.periods")

PERIODS = "periods"

INTERVAL = 1.0
"""Seconds between two reads of the plan."""

MEASURED_EVERY = 10.0
"""Seconds between two measurements of the database's clock."""

TIMEOUT = 2.0
"""Timeout of one database call, in seconds."""

BATCH = 1000
"""Epochs that are changed at once."""

DUPLICATE_KEY = 11000

OVERLAP = 10
"""Seconds by which a read reaches back: a primary may make two changes visible in another order than their times."""


class PlanChanged(Exception):
    """Another process changed the plan first."""


class MalformedPlan(Exception):
    """A document of the plan that another program changed."""


class _Disqualified(msgspec.Struct):
    player: str


class _Stored(msgspec.Struct):
    board: str
    period: str
    epoch: int
    start: datetime
    state: EpochState
    revision: Timestamp
    end: datetime | None = None
    rows: int | None = None
    sha256: str | None = None
    sealedAt: datetime | None = None  # noqa: N815  # a member of the document
    erased: int = 0
    erasing: list[str] = []
    disqualified: list[_Disqualified] = []


class SharedPlan:
    """The plan, as this process knows it. `on_change` is called with each plan that has other epochs.

    All methods raise PyMongoError.
    """

    def __init__(
        self, client: Client, database: str, clock: Clock, *, on_change: Callable[[Plan], None] = lambda plan: None
    ) -> None:
        self._client = client
        self._periods = client[database].get_collection(PERIODS, write_concern=DURABLE)
        self._clock = clock
        self._on_change = on_change
        self._stored: dict[str, _Stored] = {}
        self._latest: Timestamp | None = None
        self.current: Plan | None = None
        """None until it is read."""

    def known(self, view: View) -> Sequence[Epoch]:
        """The epochs of a period; none before the plan is read."""
        return () if self.current is None else self.current.epochs.get(view, ())

    async def prepare(self) -> None:
        """Create the indexes that `refresh` and an erasure use."""
        await self._periods.create_index([("revision", 1)])
        await self._periods.create_index([("sealing", 1)], sparse=True)
        await self._periods.create_index([("disqualified.player", 1)], sparse=True)

    async def run(self) -> None:
        """Read the plan and measure the clock, until cancelled. An error is logged, and the next turn tries again."""
        turns, primary, measured = Ticker(INTERVAL), None, 0.0
        loop = asyncio.get_running_loop()
        while True:
            await turns.tick()
            try:
                present = await maybe_await(self._client.primary)
                if present != primary or loop.time() - measured >= MEASURED_EVERY:
                    await self._clock.measure()
                    primary, measured = present, loop.time()
                await self.refresh()
            except PyMongoError as error:
                log.warning("the plan of periods was not read, trying again: %s", type(error).__name__)
            except MalformedPlan as error:
                log.error("the plan of periods cannot be read, trying again: %s", error)

    async def refresh(self) -> Plan:
        """Read what changed. Raises MalformedPlan."""
        known_at = self._clock.now() - self._clock.error
        since = {} if self._latest is None else {"revision": {"$gte": Timestamp(self._latest.time - OVERLAP, 0)}}
        with pymongo.timeout(TIMEOUT):
            found = await self._periods.find(since or {"state": {"$ne": EpochState.DROPPED}}).to_list(None)
        changed = self._apply(found)
        if changed or self.current is None:
            known = {} if self.current is None else self.current.epochs
            self.current = Plan({**known, **self._epochs(changed)}, known_at)
            self._on_change(self.current)
        elif known_at > self.current.known_at:
            self.current = msgspec.structs.replace(self.current, known_at=known_at)
        return self.current

    async def add(self, view: View, epochs: Sequence[Epoch]) -> None:
        """Add epochs that follow each other to the plan. Raises PlanChanged at the first one that exists already."""
        documents = [
            {"_id": key(view, epoch.number), "board": view.board, "period": view.period, "epoch": epoch.number}
            | {"state": epoch.state, "revision": Timestamp(0, 0)}  # the database sets it to its time
            | _dates(start=epoch.start, end=epoch.end)
            for epoch in epochs
        ]
        try:
            with pymongo.timeout(TIMEOUT):
                await self._periods.insert_many(documents)  # in order: none follows one of another process
        except BulkWriteError as error:
            if all(each["code"] != DUPLICATE_KEY for each in error.details["writeErrors"]):
                raise
            raise PlanChanged from None

    async def end(self, view: View, epoch: Epoch, end: int) -> None:
        """Set the end of an epoch that is not over. Raises PlanChanged."""
        early = utc_datetime(end - NOTICE // 2)
        await self._change(view, epoch, _dates(end=end), {"$expr": {"$lt": ["$$NOW", early]}})

    async def end_now(self, view: View) -> Epoch:
        """End the open epoch in `NOTICE`, so that all processes know it before: the epoch with its end.

        The boundaries of its schedule stay: the next epoch ends where this one would have ended. Raises PlanChanged if
        there is no open epoch, or another process changes it.
        """
        now = self._clock.now()
        plan = await self.refresh()
        epoch = plan.open(view, now)
        if epoch is None:
            raise PlanChanged
        end = now + self._clock.error + NOTICE
        if epoch.end is not None and epoch.end <= end:
            return epoch
        await self.end(view, epoch, end)
        await self._end_earlier(view, [each for each in plan.epochs[view] if each.number >= epoch.number])
        await self.refresh()
        return msgspec.structs.replace(epoch, end=end)

    async def _end_earlier(self, view: View, epochs: Sequence[Epoch]) -> None:
        """End each epoch after the first one where the one before would have ended, unless another process changes it.

        Without this step, as after a death before it, these epochs are longer.
        """
        with contextlib.suppress(PlanChanged):
            for before, epoch in pairwise(epochs):
                if before.end is None or epoch.end is None:
                    return
                await self.end(view, epoch, before.end)

    async def begin_sealing(self, view: View, epoch: Epoch) -> Sequence[str]:
        """Record that the result of an epoch is being made: the players who are disqualified. Raises PlanChanged."""
        await self._change(view, epoch, {"sealing": True})
        stored = await self._find(view, epoch.number)
        return [] if stored is None else [each.player for each in stored.disqualified]

    async def erasing(self, view: View, number: int) -> tuple[Timestamp, Sequence[str]]:
        """The revision of an epoch, and the players whose rows an erasure removes. Raises PlanChanged."""
        stored = await self._find(view, number)
        if stored is None:
            raise PlanChanged
        return stored.revision, stored.erasing

    async def sealed(
        self, view: View, epoch: Epoch, rows: int, sha256: str, *, erased: int = 0, revision: Timestamp | None = None
    ) -> None:
        """Record that the result of an epoch is final, or its new digest after an erasure. `revision`: that before
        the rows were read. Raises PlanChanged."""
        fields: Document = {"state": EpochState.SEALED, "rows": rows, "sha256": sha256, "erased": erased}
        if epoch.state is EpochState.PLANNED:
            fields |= _dates(start=epoch.start, sealedAt=self._clock.now())
        condition = {} if revision is None else {"revision": revision}
        await self._change(view, epoch, fields, condition, removed=_MARKS)

    async def dropped(self, view: View, epochs: Iterable[Epoch]) -> None:
        """Record that the results of epochs are removed, or are not made. Raises PlanChanged."""
        changes = [
            _update(_condition(view, epoch), {"state": EpochState.DROPPED} | _dates(start=epoch.start), _OF_RESULT)
            for epoch in epochs
        ]
        for batch in (changes[first : first + BATCH] for first in range(0, len(changes), BATCH)):
            with pymongo.timeout(TIMEOUT):
                done = await self._periods.bulk_write([UpdateOne(*change) for change in batch])
            if done.matched_count < len(batch):
                raise PlanChanged

    async def epoch(self, view: View, number: int) -> Epoch | None:
        """An epoch of any state, read from the database; its `start` is exact once it is sealed."""
        stored = await self._find(view, number)
        return None if stored is None else _epoch(stored)

    async def _find(self, view: View, number: int) -> _Stored | None:
        with pymongo.timeout(TIMEOUT):
            document = await self._periods.find_one({"_id": key(view, number)})
        return None if document is None else _decoded(document)

    async def _change(
        self,
        view: View,
        epoch: Epoch,
        fields: Document,
        condition: Mapping[str, Any] | None = None,
        removed: Sequence[str] = (),
    ) -> None:
        known = _condition(view, epoch) | dict(condition or {})
        with pymongo.timeout(TIMEOUT):
            done = await self._periods.update_one(*_update(known, fields, removed))
        if done.matched_count == 0:
            raise PlanChanged

    def _apply(self, found: list[Document]) -> set[View]:
        """The periods of which a document is newer than the known one."""
        changed = set[View]()
        # All are decoded first: a malformed one must not leave others that are known, and not in the plan.
        for name, stored in [(each["_id"], _decoded(each)) for each in found if not self._is_known(each)]:
            known = self._stored.get(name)
            self._latest = max(self._latest or stored.revision, stored.revision)
            if known is not None and known.revision > stored.revision:
                continue
            if stored.state is EpochState.DROPPED:
                self._stored.pop(name, None)
            else:
                self._stored[name] = stored
            if known is not None or stored.state is not EpochState.DROPPED:
                changed.add(View(stored.board, stored.period))
        return changed

    def _is_known(self, document: Document) -> bool:
        """Whether this version of a document was read before, as reads overlap."""
        known = self._stored.get(document["_id"])
        return known is not None and known.revision == document.get("revision")

    def _epochs(self, views: set[View]) -> dict[View, tuple[Epoch, ...]]:
        """The epochs of these periods: those of all would take 26 ms with 300 periods, after each change of one."""
        found: dict[View, list[Epoch]] = {view: [] for view in views}
        known = [stored for stored in self._stored.values() if (stored.board, stored.period) in found]
        for stored in sorted(known, key=lambda each: each.epoch):
            epochs = found[View(stored.board, stored.period)]
            epoch = _epoch(stored)
            before = epochs[-1].end if epochs and epochs[-1].number == epoch.number - 1 else None
            epochs.append(epoch if before is None else msgspec.structs.replace(epoch, start=before))
        return {view: tuple(epochs) for view, epochs in found.items()}


REVISION = {"revision": {"$type": "timestamp"}}
"""What `$currentDate` sets with each change."""

_MARKS = ("sealing", "erasing")
"""The members that the end of a sealing removes."""

_OF_RESULT = (*_MARKS, "disqualified")
"""The members that the end of a result removes."""


def _condition(view: View, epoch: Epoch) -> Document:
    """A filter that matches the epoch while it has the known state and end."""
    end = None if epoch.end is None else utc_datetime(epoch.end)
    return {"_id": key(view, epoch.number), "state": epoch.state, "end": end}


def _update(condition: Document, fields: Document, removed: Sequence[str] = ()) -> tuple[Document, Document]:
    return condition, {"$set": fields, "$unset": dict.fromkeys(removed, ""), "$currentDate": REVISION}


def key(view: View, number: int) -> str:
    """The `_id` of an epoch: also the end of the name of its collection of results."""
    return f"{view.board}.{view.period}.{number}"


def _dates(**instants: int | None) -> Document:
    return {name: utc_datetime(instant) for name, instant in instants.items() if instant is not None}


def _decoded(document: Mapping[str, Any]) -> _Stored:
    try:
        return msgspec.convert(document, _Stored)
    except msgspec.ValidationError as error:
        raise MalformedPlan(f"{PERIODS} document {document['_id']!r}: {error}") from None


def _epoch(stored: _Stored) -> Epoch:
    return Epoch(
        stored.epoch,
        milliseconds(stored.start) or 0,
        milliseconds(stored.end),
        stored.state,
        stored.rows,
        None if stored.erasing else stored.sha256,  # a former version may have recorded one in spite of the note
        milliseconds(stored.sealedAt),
        stored.erased,
    )
