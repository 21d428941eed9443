"""Players who broke an abuse rule, with times and counts: for audits and exports, with a retention.

`{_id: <player>, seen, <rule>: {times, first, last}}`. Refused and replayed actions never reach the ledger, so this is
their only trace in the database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from tornado_app.core.abuse import AbuseRule, Suspect
from tornado_app.core.model import utc_datetime
from tornado_app.mongo.client.cluster_time import wall_clock
from tornado_app.mongo.players.documents import Document, milliseconds

SUSPECTS = "suspects"

RETENTION = 90 * 24 * 3600
"""Seconds after the last violation until a player is removed, unless the index on `seen` has another time."""


class Suspects:
    """The suspects of one board. All methods raise PyMongoError."""

    def __init__(self, database: Any, *, clock: Callable[[], int] = wall_clock) -> None:
        self._suspects = database[SUSPECTS]
        self._clock = clock

    async def record(self, player: str, rule: AbuseRule) -> None:
        """Record that the player broke the rule."""
        now = utc_datetime(self._clock())
        change = {
            "$inc": {f"{rule}.times": 1},
            "$min": {f"{rule}.first": now},
            "$max": {f"{rule}.last": now, "seen": now},
        }
        await self._suspects.update_one({"_id": player}, change, upsert=True)

    async def forget(self, player: str) -> None:
        """Delete the player's record."""
        await self._suspects.delete_one({"_id": player})

    async def of(self, player: str) -> Document:
        """The player's record, by rule."""
        return await self._suspects.find_one({"_id": player}, {"_id": 0, "seen": 0}) or {}

    async def since(self, moment: int) -> AsyncIterator[Suspect]:
        """Players who broke a rule at or after `moment` (ms), in order."""
        seen = {"seen": {"$gte": utc_datetime(moment)}}
        async for document in self._suspects.find(seen).sort("_id", 1):
            for rule in AbuseRule:
                kept = document.get(rule)
                last = milliseconds(kept["last"]) if kept else None
                if last is not None and last >= moment:
                    yield Suspect(document["_id"], rule, kept["times"], last)
