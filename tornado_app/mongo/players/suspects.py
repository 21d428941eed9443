"""Which players broke a rule of suspicion, when, and how often: kept for audits and exports, forgotten in time.

`{_id: <player>, seen, <rule>: {times, first, last}}`. What was refused or replayed never reaches the ledger, so this is
the only trace of it in the database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from tornado_app.core.abuse import AbuseRule, Suspect
from tornado_app.mongo.client.cluster_time import wall_clock
from tornado_app.mongo.players.documents import Document, milliseconds

SUSPECTS = "suspects"

RETENTION = 90 * 24 * 3600
"""Seconds after which a player who broke no rule again is forgotten, unless the index on `seen` was made otherwise."""


class Suspects:
    """The suspects of one board. All methods raise PyMongoError."""

    def __init__(self, database: Any, *, clock: Callable[[], int] = wall_clock) -> None:
        self._suspects = database[SUSPECTS]
        self._clock = clock

    async def note(self, player: str, rule: AbuseRule) -> None:
        """The player broke the rule once more."""
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        change = {
            "$inc": {f"{rule}.times": 1},
            "$min": {f"{rule}.first": now},
            "$max": {f"{rule}.last": now, "seen": now},
        }
        await self._suspects.update_one({"_id": player}, change, upsert=True)

    async def forget(self, player: str) -> None:
        """Delete what is known of the player."""
        await self._suspects.delete_one({"_id": player})

    async def of(self, player: str) -> Document:
        """What is known of the player, by rule."""
        return await self._suspects.find_one({"_id": player}, {"_id": 0, "seen": 0}) or {}

    async def since(self, moment: int) -> AsyncIterator[Suspect]:
        """Whoever broke a rule at or after a moment (ms), in the order of the players."""
        seen = {"seen": {"$gte": datetime.fromtimestamp(moment / 1000, UTC)}}
        async for document in self._suspects.find(seen).sort("_id", 1):
            for rule in AbuseRule:
                kept = document.get(rule)
                last = milliseconds(kept["last"]) if kept else None
                if last is not None and last >= moment:
                    yield Suspect(document["_id"], rule, kept["times"], last)
