"""The results of epochs as an audit reads them, player by player. All functions raise PyMongoError."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pymongo

from tornado_app.core.boards import View
from tornado_app.core.periods import Epoch, EpochState
from tornado_app.core.slots import EpochKey
from tornado_app.mongo.periods.plan import PERIODS
from tornado_app.mongo.periods.results import TIMEOUT, collection_of
from tornado_app.mongo.players.documents import milliseconds


class ResultScan:
    """Reads the results in a database that are final and kept."""

    def __init__(self, database: Any) -> None:
        self._database = database

    async def sealed(self, board: str) -> Mapping[EpochKey, Epoch]:
        """The epochs of a board with such a result."""
        with pymongo.timeout(TIMEOUT):
            found = await self._database[PERIODS].find({"board": board, "state": EpochState.SEALED}).to_list(None)
        return {
            (each["period"], each["epoch"]): Epoch(
                each["epoch"],
                milliseconds(each["start"]) or 0,
                milliseconds(each["end"]),
                EpochState.SEALED,
                sealed_at=milliseconds(each["sealedAt"]),
            )
            for each in found
        }

    async def rows(
        self, board: str, epochs: Collection[EpochKey], after: str, last: str | None
    ) -> Mapping[str, Mapping[EpochKey, int]]:
        """The scores in the results of these epochs, by player: those after `after` up to `last`; None is no bound."""
        players = {"$gt": after} if last is None else {"$gt": after, "$lte": last}
        found: dict[str, dict[EpochKey, int]] = {}
        for period, number in epochs:
            rows = self._database[collection_of(View(board, period), number)]
            with pymongo.timeout(TIMEOUT):
                documents = await rows.find({"_id": players}, {"score": 1}).to_list(None)
            for document in documents:
                found.setdefault(document["_id"], {})[period, number] = document["score"]
        return found
