"""Erases players, and finishes every erasure that was interrupted.

An erasure has three steps: one update takes the player off the board, removes the profile and writes the marker; what
is known of broken rules is deleted; the document is deleted. The marker stays in the document until the last step, so
that any process can finish what another one began. Until then no other write changes the document.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pymongo
from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from tornado_app.mongo.players import write_marker
from tornado_app.mongo.players.cache import PROFILE
from tornado_app.mongo.players.documents import BEING_ERASED, NOT_BEING_ERASED, Document
from tornado_app.mongo.players.suspects import Suspects
from tornado_app.mongo.players.write_marker import WriteMarker
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.moderation")

INTERVAL = 15.0
"""Seconds between two searches for interrupted erasures."""

TIMEOUT = 10.0
"""Seconds for one look, and for each erasure that it finishes."""


class Eraser:
    """Erases players of one collection. All methods raise PyMongoError."""

    def __init__(self, players: Any, suspects: Suspects) -> None:
        self._players = players
        self._suspects = suspects

    async def erase(self, player: str, marker: WriteMarker) -> bool:
        """Erase the player; whether there was one. One that is being erased is erased to the end."""
        document = await self._players.find_one_and_update(
            {"_id": player, **NOT_BEING_ERASED},
            [{"$set": _leaving(marker)}, {"$unset": list(PROFILE)}],
            projection={"last": 1},
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            document = await self._players.find_one({"_id": player, **BEING_ERASED}, {"last": 1})
        if document is None:
            return False
        await self._finish(document)
        return True

    async def finish_all(self) -> int:
        """Finish the erasures that were interrupted; how many there were."""
        with pymongo.timeout(TIMEOUT):
            found = self._players.find({"hidden": True, **BEING_ERASED}, {"last": 1})  # by the index on `hidden`
            documents: list[Document] = await found.to_list(None)
        for document in documents:
            with pymongo.timeout(TIMEOUT):
                await self._finish(document)
        return len(documents)

    async def run(self, interval: float = INTERVAL) -> None:
        """Finish what was interrupted, now and then, until cancelled."""
        while True:
            await asyncio.sleep(jittered(interval))
            await self.try_to_finish()

    async def try_to_finish(self) -> None:
        """As `finish_all`; a database that does not answer is logged, and asked again by `run`."""
        try:
            count = await self.finish_all()
        except PyMongoError as error:
            log.warning(
                "search for interrupted erasures failed, the next one follows in %g s: %s",
                INTERVAL,
                type(error).__name__,
            )
            return
        if count:
            log.warning("finished erasures that were interrupted", extra={"players": count})

    async def _finish(self, document: Document) -> None:
        """The steps after the marker. Of several that do it at once, each may believe that it was the one."""
        await self._suspects.forget(document["_id"])
        await self._players.delete_one({"_id": document["_id"], "last": document["last"]})


def _leaving(marker: WriteMarker) -> Document:
    shown, hidden = (
        write_marker.with_score(msgspec.structs.replace(marker, on_board=value)) for value in (True, False)
    )
    return {"hidden": True, "suspended": True, "last": {"$cond": [{"$eq": ["$hidden", True]}, hidden, shown]}}
