"""Every score on the board at one cluster time, counted by the database."""

from __future__ import annotations

from typing import Any

import pymongo
from bson import Timestamp

from tornado_app.core.ports import Census
from tornado_app.mongo.documents import ON_BOARD, milliseconds
from tornado_app.mongo.driver import Client, Document, settled
from tornado_app.mongo.versions import cluster_time, version

BATCH = 5_000
"""Rows in one answer, which holds up the loop for some ms while it is decoded."""

TIMEOUT = 120.0
"""Seconds; a million players take about half of one."""

GROUPED: list[Document] = [
    {"$match": ON_BOARD},
    {"$group": {"_id": "$score", "players": {"$sum": 1}, "updated": {"$max": "$updatedAt"}}},
]


async def take_census(client: Client, players: Any) -> tuple[Timestamp, Census]:
    """The scores at cluster time T, and T: whoever watches what comes after T misses nothing."""
    with pymongo.timeout(TIMEOUT):
        return await _take(client, players)


async def _take(client: Client, players: Any) -> tuple[Timestamp, Census]:
    database = players.database
    moment = await cluster_time(database)
    command = {
        "aggregate": players.name,
        "pipeline": GROUPED,
        "cursor": {"batchSize": BATCH},
        "allowDiskUse": True,
        "readConcern": {"level": "snapshot", "atClusterTime": moment},
    }
    async with await settled(client.start_session(causal_consistency=False)) as session:
        cursor = await database.cursor_command(command, session=session, codec_options=players.codec_options)
        rows: list[Document] = await cursor.batch_size(BATCH).to_list(None)
    counts = [(row["_id"], row["players"]) for row in rows]
    latest = max((row["updated"] for row in rows), default=None)
    return moment, Census(counts, version(moment), milliseconds(latest) or 0)
