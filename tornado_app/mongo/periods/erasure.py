"""Removes a player from the results of epochs, and from their lists of disqualified players.

The player must be on no board any more.

A result that is being made may have read the player before: its rows may still be in a collection of another name, or
in none. So the player is noted in each epoch that is marked with `sealing`; the epoch becomes final without the
player's row only (sealing.py). A result that exists has the row or not: the player is noted in its epoch and its digest
removed, then the row. A process that dies in between leaves a note, by which the sealing process removes the row; both
can be repeated.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tornado_app.core.periods import EpochState
from tornado_app.mongo.client.driver import DURABLE, Client
from tornado_app.mongo.periods.plan import PERIODS, REVISION
from tornado_app.mongo.periods.results import epoch_of, rows_of


class ResultEraser:
    """Removes players from results. Raises PyMongoError."""

    def __init__(self, client: Client, database: str) -> None:
        self._database: Any = client[database]
        self._periods = self._database.get_collection(PERIODS, write_concern=DURABLE)

    async def erase(self, player: str, never: Collection[str] = ()) -> None:
        """Remove the player's rows from all results, also of boards that are not served, except the boards `never`, on
        which the player never was."""
        named = {"disqualified.player": player}
        await self._periods.update_many(
            named, {"$pull": {"disqualified": {"player": player}}, "$currentDate": REVISION}
        )
        note = {"$addToSet": {"erasing": player}, "$unset": {"sha256": ""}, "$currentDate": REVISION}
        await self._periods.update_many({"sealing": True}, note)
        async for rows in rows_of(self._database, player, never):
            found = [row["_id"] for row in rows]
            epochs = {"_id": {"$in": [epoch_of(name) for name in found]}, "state": EpochState.SEALED}
            await self._periods.update_many(epochs, note)
            for name in found:
                await self._database.get_collection(name, write_concern=DURABLE).delete_one({"_id": player})
