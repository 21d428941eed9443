"""The results of epochs as an audit reads them. All functions raise PyMongoError."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pymongo

from tornado_app.core.boards import View
from tornado_app.core.periods import Epoch, EpochState, FinalResult
from tornado_app.core.slots import EpochKey
from tornado_app.mongo.client.driver import Document
from tornado_app.mongo.periods.plan import PERIODS
from tornado_app.mongo.periods.results import TIMEOUT, Results, collection_of
from tornado_app.mongo.players.documents import milliseconds


class ResultScan:
    """Reads the results in a database that are final and kept."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._results = Results(database.client, database.name)

    async def sealed(self, board: str) -> Mapping[EpochKey, FinalResult]:
        """The epochs of a board with such a result."""
        with pymongo.timeout(TIMEOUT):
            found = await self._database[PERIODS].find({"board": board, "state": EpochState.SEALED}).to_list(None)
        return {(each["period"], each["epoch"]): _final(each) for each in found}

    async def rows(
        self, board: str, epochs: Collection[EpochKey], after: str, last: str | None
    ) -> Mapping[str, Mapping[EpochKey, int]]:
        """The scores in the results of these epochs, by player: those after `after` up to `last`; None is no bound."""
        return await self._rows(board, epochs, {"$gt": after} if last is None else {"$gt": after, "$lte": last})

    async def has_row(self, board: str, epoch: EpochKey, player: str) -> bool:
        """Whether a player has a row in a result."""
        return bool(await self._rows(board, [epoch], {"$eq": player}))

    async def _rows(
        self, board: str, epochs: Collection[EpochKey], players: Document
    ) -> Mapping[str, Mapping[EpochKey, int]]:
        found: dict[str, dict[EpochKey, int]] = {}
        for period, number in epochs:
            rows = self._database[collection_of(View(board, period), number)]
            with pymongo.timeout(TIMEOUT):
                documents = await rows.find({"_id": players}, {"score": 1}).to_list(None)
            for document in documents:
                found.setdefault(document["_id"], {})[period, number] = document["score"]
        return found

    async def digest(self, board: str, epoch: EpochKey) -> tuple[int, str]:
        """The number of rows of a result, and the SHA-256 over them."""
        period, number = epoch
        return await self._results.digest(View(board, period), number)


def _final(document: Document) -> FinalResult:
    epoch = Epoch(
        document["epoch"],
        milliseconds(document["start"]) or 0,
        milliseconds(document["end"]),
        EpochState.SEALED,
        document.get("rows"),
        document.get("sha256"),
        milliseconds(document["sealedAt"]),
        document.get("erased", 0),
    )
    return FinalResult(epoch, frozenset([each["player"] for each in document.get("disqualified", ())]))
