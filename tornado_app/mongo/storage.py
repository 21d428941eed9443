"""Disk space of the collections, and of the database's file system if MongoDB reports it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from tornado_app.core.boards import MAIN
from tornado_app.mongo.change_stream.source import collection_ids
from tornado_app.mongo.client.driver import Client, maybe_await
from tornado_app.mongo.ledger.reader import LEDGER
from tornado_app.mongo.players.documents import collection_of
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.storage")

EVERY = 60.0
"""Seconds between two measurements."""

TIMEOUT = 10.0
"""Timeout of one measurement, in seconds."""

NAMESPACE_NOT_FOUND = 26

Observe = Callable[[str, float], None]
"""Receives a name and a number of bytes."""


class StorageMonitor:
    """Measures at intervals.

    `collections` receives the bytes on disk of the collections that grow, their indexes included: that of each board,
    with players, and the ledger, with each accepted update. `disk` receives the `free` and
    the `total` bytes of the file system, if MongoDB reports them (dbStats).

    On a sharded cluster both are sums over the shards.
    """

    def __init__(self, client: Client, database: str, *, collections: Observe, disk: Observe) -> None:
        self._database: Any = client[database]
        self._collections = collections
        self._disk = disk
        self._measured = set[str]()

    async def run(self) -> None:
        """Measure until cancelled. An error is logged, and the measurement repeated in the next turn."""
        while True:
            try:
                async with asyncio.timeout(TIMEOUT):
                    await self.measure()
            except (PyMongoError, TimeoutError) as error:
                log.info("storage was not measured, trying again in %g s: %s", EVERY, type(error).__name__)
            await asyncio.sleep(jittered(EVERY))

    async def measure(self) -> None:
        """Measure once. Raises PyMongoError."""
        boards = {MAIN.name, *await collection_ids(self._database)}
        self._measured |= {LEDGER, *map(collection_of, boards)}
        for name in self._measured:  # of a collection that is gone, 0
            self._collections(name, await self._size(name))
        stats = await self._database.command("dbStats")
        if stats.get("fsTotalSize"):
            self._disk("total", stats["fsTotalSize"])
            self._disk("free", stats["fsTotalSize"] - stats["fsUsedSize"])

    async def _size(self, collection: str) -> float:
        stages = [
            {"$collStats": {"storageStats": {}}},
            {"$project": {"size": {"$add": ["$storageStats.storageSize", "$storageStats.totalIndexSize"]}}},
        ]
        try:
            cursor = await maybe_await(self._database[collection].aggregate(stages))
            return float(sum([stats["size"] async for stats in cursor]))
        except OperationFailure as error:
            if error.code == NAMESPACE_NOT_FOUND:  # the collection does not exist yet
                return 0.0
            raise
