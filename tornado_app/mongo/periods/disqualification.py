"""Disqualifies players: leaves them out of the result of an epoch. All-time scores and other epochs stay.

The list is in the plan's document of the epoch. It does not change any more once the result is being made (sealing.py);
an erasure removes the player from it, also later.
"""

from __future__ import annotations

from typing import Any

from tornado_app.core.boards import View
from tornado_app.core.errors import DatabaseError, InvalidBody, PeriodNotFound, PlayerNotFound, ResultFinal
from tornado_app.core.model import utc_datetime
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.periods import EpochState
from tornado_app.mongo.client.cluster_time import wall_clock
from tornado_app.mongo.client.driver import DURABLE, Client, Document
from tornado_app.mongo.periods.plan import PERIODS, REVISION, key
from tornado_app.mongo.players import documents

MAX_DISQUALIFIED = 1000
"""Players of one epoch: all processes read the document of an epoch when it changes."""


class Disqualifications:
    """The disqualified players of a database's epochs."""

    def __init__(self, client: Client, database: str) -> None:
        self._database: Any = client[database]
        self._periods = self._database.get_collection(PERIODS, write_concern=DURABLE)

    async def change(self, view: View, number: int, case: ModerationRequest, *, disqualified: bool) -> bool:
        """Disqualify a player, or take that back; whether it changed anything.

        Raises PeriodNotFound, PlayerNotFound, ResultFinal, InvalidBody (too many), DatabaseError and PyMongoError.
        """
        await self._check_player(view, case.user_id)
        epoch: Document = {"_id": key(view, number), "state": EpochState.PLANNED, "sealing": {"$exists": False}}
        change = await self._add(epoch, case) if disqualified else await self._remove(epoch, case.user_id)
        if not change:
            await self._explain(epoch["_id"], case.user_id, disqualified=disqualified)
        elif disqualified:
            try:
                await self._check_player(view, case.user_id)
            except PlayerNotFound:  # an erasure may have looked at this epoch before
                await self._remove({"_id": epoch["_id"]}, case.user_id)  # also if its result is being made by now
                raise
        return change

    async def listed(self, view: View, number: int) -> list[Document]:
        """The disqualified players of an epoch: {player, by, reason, at}, in the order in which they were disqualified.

        Raises PeriodNotFound and PyMongoError.
        """
        found = await self._periods.find_one({"_id": key(view, number)}, {"disqualified": 1})
        if found is None:
            raise PeriodNotFound(PeriodNotFound.no_epoch)
        return list(found.get("disqualified", ()))

    async def _check_player(self, view: View, player: str) -> None:
        players = self._database[documents.collection_of(view.board)]
        if await players.find_one({"_id": player, "erased": {"$ne": True}}, {"_id": 1}) is None:
            raise PlayerNotFound

    async def _add(self, epoch: Document, case: ModerationRequest) -> bool:
        free = {
            "disqualified.player": {"$ne": case.user_id},
            f"disqualified.{MAX_DISQUALIFIED - 1}": {"$exists": False},
        }
        entry = {"player": case.user_id, "by": case.by, "reason": case.reason, "at": utc_datetime(wall_clock())}
        change = {"$push": {"disqualified": entry}, "$currentDate": REVISION}
        return bool((await self._periods.update_one(epoch | free, change)).matched_count)

    async def _remove(self, epoch: Document, player: str) -> bool:
        change = {"$pull": {"disqualified": {"player": player}}, "$currentDate": REVISION}
        return bool((await self._periods.update_one(epoch | {"disqualified.player": player}, change)).matched_count)

    async def _explain(self, epoch: str, player: str, *, disqualified: bool) -> None:
        """Raise the reason why the epoch was not changed, unless the player is in that state already."""
        found = await self._periods.find_one({"_id": epoch})
        if found is None:
            raise PeriodNotFound(PeriodNotFound.no_epoch)
        if found["state"] != EpochState.PLANNED or "sealing" in found:
            raise ResultFinal
        names = [each["player"] for each in found.get("disqualified", ())]
        if (player in names) is disqualified:
            return
        if len(names) >= MAX_DISQUALIFIED:
            raise InvalidBody(
                f"The epoch has {MAX_DISQUALIFIED} disqualified players, which is the maximum. Hide the player until "
                "the result is final."
            )
        raise DatabaseError(retry_after=1.0, reason="lost_races", detail="another moderator changed the epoch")
