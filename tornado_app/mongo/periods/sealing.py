"""Seals epochs: makes the result of one that is over, and drops old ones.

Each step can be repeated by any process, and leads to the same result:

1. The epoch is marked (`sealing`): from then on, no player can be disqualified, and an erasure knows of rows that it
   cannot see yet.
2. One aggregation makes the rows in a collection of its own. It reads at a time after the last write to the epoch.
3. The collection is renamed to `results.<board>.<period>.<epoch>`, unless that exists. So a result is whole, and
   nothing replaces it, also not a process that was stopped meanwhile.
4. An index is created, the rows of players who were erased meanwhile are removed, and the digest is computed.
5. The epoch is recorded as sealed, with the digest, unless there was another erasure.

An erasure removes the digest of a result that is final; steps 4 and 5 are then repeated.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from tornado_app.core.boards import Board, Order, View
from tornado_app.core.periods import Epoch, EpochState, Period
from tornado_app.core.plan import GRACE, due
from tornado_app.mongo.client.cluster_time import cluster_time
from tornado_app.mongo.client.driver import DURABLE, Client, Document
from tornado_app.mongo.periods.clock import Clock
from tornado_app.mongo.periods.plan import PERIODS, PlanChanged, SharedPlan, key
from tornado_app.mongo.periods.results import PREFIX, Results, collection_of
from tornado_app.mongo.players import documents

log = logging.getLogger("leaderboard.periods")

NAMESPACE_EXISTS = 48

DIGESTS = 1.0
"""Seconds after which no other missing digest is computed before what is due is sealed: an erasure from many results
with many rows would delay that by minutes."""

SCANNED_FROM = 10
"""Part of the players from which on a scan of all of them is faster than the index: one in so many."""


class Sealer:
    """Seals the epochs of boards; only the planner calls it.

    All methods raise PyMongoError and PlanChanged.
    """

    def __init__(self, client: Client, database: str, plan: SharedPlan, clock: Clock) -> None:
        self._database: Any = client[database]
        self._plan = plan
        self._clock = clock
        self._results = Results(client, database)
        self._seen: dict[View, dict[int, tuple[int, int]]] = {}

    async def run_once(self, boards: Sequence[Board]) -> None:
        """Seal what is due, oldest first; drop what is older than the results that are kept; compute missing digests
        until `DIGESTS` seconds are over.

        A period that fails does not keep the others from it; the first error is raised at the end.
        """
        errors: list[Exception] = []
        periods = periods_of(boards)
        self._seen = {view: seen for view, seen in self._seen.items() if view in periods}
        for view, (board, period) in periods.items():
            try:
                await self._seal_due(board, period, view)
                await self._drop_old(period, view)
            except (PyMongoError, PlanChanged) as error:
                errors.append(error)
        started = time.monotonic()
        for view, epoch in self._without_digest():
            try:
                await self._record(view, epoch)
            except (PyMongoError, PlanChanged) as error:
                errors.append(error)
            if time.monotonic() - started > DIGESTS:
                break
        if errors:
            raise errors[0]

    async def clean_up(self) -> None:
        """Remove what a process left that ended in the middle of a step."""
        names = await self._database.list_collection_names(filter={"name": {"$regex": "^" + re.escape(PREFIX)}})
        keys = {name.removeprefix(PREFIX): name for name in names}
        dropped = self._database[PERIODS].find({"_id": {"$in": list(keys)}, "state": EpochState.DROPPED}, {"_id": 1})
        left = [keys[each["_id"]] for each in await dropped.to_list(None)]
        for name in [*left, *(name for name in names if _UNFINISHED.search(name))]:
            await self._database.drop_collection(name)

    async def _seal_due(self, board: Board, period: Period, view: View) -> None:
        planned = [epoch for epoch in self._plan.known(view) if epoch.state is EpochState.PLANNED]
        self._note_ends(view, planned)
        if not self._due(view, planned, period):
            return
        await self._clock.measure()
        due = self._due(view, planned, period)
        missed = due[: -period.keep]
        if missed:  # newer results are made now, so that theirs would be dropped at once
            await self._plan.dropped(view, missed)
            await self._database.drop_collection(collection_of(view, missed[0].number))  # a death may have left it
            log.warning(
                "%d epochs of period %s of board %s have no result: newer ones are made, and more are not kept",
                len(missed), view.period, view.board,
            )  # fmt: skip
            await self._plan.refresh()
        for epoch in due[-period.keep :]:
            await self._clock.measure()
            if not self._is_due(view, epoch, period.review):
                return
            await self._seal(board, view, epoch)

    def _due(self, view: View, planned: Sequence[Epoch], period: Period) -> list[Epoch]:
        return list(takewhile(lambda epoch: self._is_due(view, epoch, period.review), planned))

    def _note_ends(self, view: View, planned: Sequence[Epoch]) -> None:
        """Note when this process first saw the end of each epoch."""
        former, now = self._seen.get(view, {}), self._clock.now()
        ends = {epoch.number: (epoch.end, now) for epoch in planned if epoch.end is not None}
        self._seen[view] = ends | {
            number: seen for number, seen in former.items() if number in ends and ends[number][0] == seen[0]
        }

    def _is_due(self, view: View, epoch: Epoch, review: float) -> bool:
        """Whether no more write can arrive: a process that does not know the end stops within GRACE from when this one
        saw it."""
        at = due(epoch, review)
        if at is None:
            return False
        _, seen = self._seen[view][epoch.number]
        return self._clock.now() - self._clock.error >= max(at, seen + GRACE)

    async def _seal(self, board: Board, view: View, epoch: Epoch) -> None:
        name = collection_of(view, epoch.number)
        disqualified = await self._plan.begin_sealing(view, epoch)
        if name not in await self._database.list_collection_names(filter={"name": name}):
            await self._make(board, view, epoch, name, disqualified)
        await self._database[name].create_index([("place", 1)], unique=True)
        await self._record(view, epoch)

    async def _record(self, view: View, epoch: Epoch) -> None:
        """Record the digest of a result, without the rows of players who are being erased."""
        revision, erasing = await self._plan.erasing(view, epoch.number)
        if erasing:
            rows_of = self._database.get_collection(collection_of(view, epoch.number), write_concern=DURABLE)
            await rows_of.delete_many({"_id": {"$in": erasing}})
        rows, sha256 = await self._results.digest(view, epoch.number)
        if epoch.rows is None:
            made = await self._results.last_place(view, epoch.number)
        else:
            made = epoch.rows + epoch.erased
        await self._plan.sealed(view, epoch, rows, sha256, erased=made - rows, revision=revision)
        await self._plan.refresh()
        what = "an epoch is sealed" if epoch.rows is None else "a result has a new digest after an erasure"
        log.info(what, extra={"epoch": key(view, epoch.number), "rows": rows, "sha256": sha256})

    async def _make(self, board: Board, view: View, epoch: Epoch, name: str, disqualified: Sequence[str]) -> None:
        """Make the result of an epoch; another process may be faster."""
        unfinished = f"{name}.unfinished-{secrets.token_hex(4)}"
        players = documents.collection_of(board.name)
        await self._database.command(
            {
                "aggregate": players,
                "pipeline": [
                    *result_rows(view.period or "", epoch.number, board.order, disqualified),
                    {"$out": unfinished},
                ],
                "cursor": {},
                "allowDiskUse": True,
                **await _hint(self._database[players], f"w.{view.period}.e", epoch.number),
                "readConcern": {"level": "majority", "afterClusterTime": await cluster_time(self._database)},
                "writeConcern": DURABLE.document,
            }
        )
        try:
            await self._database[unfinished].rename(name)
        except OperationFailure as error:
            if error.code != NAMESPACE_EXISTS:
                raise
            await self._database.drop_collection(unfinished)

    async def _drop_old(self, period: Period, view: View) -> None:
        sealed = [epoch for epoch in self._plan.known(view) if epoch.state is EpochState.SEALED]
        old = sealed[: -period.keep]
        if not old:
            return
        await self._plan.dropped(view, old)
        for epoch in old:
            await self._database.drop_collection(collection_of(view, epoch.number))
        await self._plan.refresh()

    def _without_digest(self) -> list[tuple[View, Epoch]]:
        """The sealed epochs without a digest, also of boards and periods that are not served any more."""
        known = {} if self._plan.current is None else self._plan.current.epochs
        epochs = [(view, epoch) for view in known for epoch in known[view] if epoch.sha256 is None]
        return [(view, epoch) for view, epoch in epochs if epoch.state is EpochState.SEALED]


def periods_of(boards: Sequence[Board]) -> dict[View, tuple[Board, Period]]:
    """The periods of boards, each once: a board that is served, and about to be served with other periods, is there
    twice, and its present definition first."""
    found: dict[View, tuple[Board, Period]] = {}
    for board in boards:
        for period in board.periods:
            found.setdefault(View(board.name, period.name), (board, period))
    return found


_UNFINISHED = re.compile(r"\.unfinished-[0-9a-f]+$")


def result_rows(period: str, number: int, order: Order, disqualified: Sequence[str] = ()) -> list[Document]:
    """The pipeline on a board's players that makes the rows of an epoch's result, without those who are disqualified.

    The score is in the slot, or among the earlier epochs of a slot that has moved on. As on the board, malformed
    documents of other programs are left out.
    """
    slot = f"$w.{period}"
    earlier = {"input": _array(f"{slot}.p"), "cond": {"$eq": [{"$first": _array("$$this")}, number]}}
    moved = {"$first": {"$filter": earlier}}
    present = [f"{slot}.e", f"{slot}.s", f"{slot}.t"]
    board_order = {"score": -1 if order is Order.DESCENDING else 1, "at": 1, "_id": 1}
    before: Mapping[str, Any] = {"documents": ["unbounded", "current"]}
    first_place = {"$cond": [{"$eq": ["$before", "$score"]}, None, "$place"]}
    return [
        {
            "$match": {
                f"w.{period}.e": {"$gte": number},
                "hidden": {"$ne": True},
                "_id": {"$type": "string", "$nin": disqualified},
            }
        },
        {"$set": {"slot": {"$cond": [{"$eq": [f"{slot}.e", number]}, present, moved]}}},
        {
            "$project": {
                "score": {"$arrayElemAt": ["$slot", 1]},
                "at": {"$arrayElemAt": ["$slot", 2]},
                "username": _own("username", "ownUsername"),
                "avatarUrl": _own("avatarUrl", "ownAvatarUrl"),
            }
        },
        {"$match": {"score": {"$type": ["int", "long"]}, "at": {"$type": "date"}}},
        {
            "$setWindowFields": {
                "sortBy": board_order,
                "output": {
                    "place": {"$sum": 1, "window": before},
                    "before": {"$shift": {"output": "$score", "by": -1}},
                },
            }
        },
        # The same order again, at once: so mongod does not sort a second time.
        {"$setWindowFields": {"sortBy": board_order, "output": {"rank": {"$max": first_place, "window": before}}}},
        {"$unset": "before"},
    ]


async def _hint(players: Any, member: str, number: int) -> Document:
    """Of the aggregation: a scan of all players if many are in the epoch, because by an index each is a random read."""
    many = await players.estimated_document_count() // SCANNED_FROM
    found = await players.count_documents({member: {"$gte": number}}, limit=many + 1)
    return {"hint": {"$natural": 1}} if found > many else {}


def _array(value: str) -> Document:
    return {"$cond": [{"$isArray": value}, value, []]}


def _own(name: str, own: str) -> Document:
    """A member of the profile: the player's own, also where it is null, else the token's; none if that is no text."""
    value = {"$cond": [{"$eq": [{"$type": f"${own}"}, "missing"]}, f"${name}", f"${own}"]}
    return {"$cond": [{"$eq": [{"$type": value}, "string"]}, value, "$$REMOVE"]}
