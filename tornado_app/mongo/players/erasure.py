"""Erases players, and finishes every erasure that was interrupted.

An erasure has three steps: one update takes the player off the board, removes the profile and sets `erased`; the
player's record of abuse rules is deleted; the document is deleted. `erased` stays in the document until the last step,
so that any process can finish what another one began. Until then no other write changes the document.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pymongo
from pymongo.errors import PyMongoError

from tornado_app.core.history import HistoryEntry, encode
from tornado_app.mongo.client.driver import race_pause
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.documents import PROFILE, STATE_FIELDS, Document, MalformedDocument
from tornado_app.mongo.players.suspects import Suspects
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.moderation")

INTERVAL = 15.0
"""Seconds between two searches for interrupted erasures."""

_PERSONAL = (*PROFILE, "metadata")
"""The members that the first step removes."""

TIMEOUT = 10.0
"""Timeout of one search, and of each erasure that it finishes, in seconds."""


class Eraser:
    """Erases players of one collection. All methods raise PyMongoError."""

    def __init__(self, players: Any, suspects: Suspects) -> None:
        self._players = players
        self._suspects = suspects

    async def erase(self, player: str, entry: HistoryEntry) -> bool:
        """Erase the player; whether there was one. An interrupted erasure is finished."""
        lost = 0
        while (document := await self._players.find_one({"_id": player}, STATE_FIELDS)) is not None:
            if document.get("erased") is True or await self._begin(document, entry):
                await self._finish(player)
                return True
            await asyncio.sleep(race_pause(lost))
            lost += 1
        return False

    async def _begin(self, document: Document, entry: HistoryEntry) -> bool:
        """The first step; whether no other write came first."""
        player, score = document["_id"], documents.score_of(document)
        on_board = score is not None and not document.get("hidden")
        entry = msgspec.structs.replace(entry, points=score or 0, on_board=on_board)
        fields = {"hidden": True, "suspended": True, "erased": True}
        try:
            state = documents.state_of(document)
        except MalformedDocument:  # nothing else writes it, so there is nothing to compare
            seq = 2 if document.get("seq") == 1 else 1  # another number than before, so that the event has it
            history = {str(seq): encode(entry)}
            change = {"$set": {**fields, "seq": seq, "h": history}, "$unset": dict.fromkeys(_PERSONAL, "")}
            return bool((await self._players.update_one({"_id": player}, change)).matched_count)
        change = documents.update(state, [entry], fields=fields, removed=_PERSONAL)
        return bool((await self._players.update_one(documents.condition(player, state), change)).matched_count)

    async def finish_all(self) -> int:
        """Finish interrupted erasures; their number."""
        with pymongo.timeout(TIMEOUT):
            cursor = self._players.find({"hidden": True, "erased": True}, {"_id": 1})  # by the index on `hidden`
            documents: list[Document] = await cursor.to_list(None)
        for document in documents:
            with pymongo.timeout(TIMEOUT):
                await self._finish(document["_id"])
        return len(documents)

    async def run(self, interval: float = INTERVAL) -> None:
        """Finish interrupted erasures at intervals, until cancelled."""
        while True:
            await asyncio.sleep(jittered(interval))
            await self.try_to_finish()

    async def try_to_finish(self) -> None:
        """As `finish_all`; if the database does not answer, this is logged, and `run` repeats it."""
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

    async def _finish(self, player: str) -> None:
        """The steps after the first. Several processes may do them at once."""
        await self._suspects.forget(player)
        await self._players.delete_one({"_id": player, "erased": True})
