"""Every score of each board at one cluster time, counted by the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

import pymongo
from bson import Timestamp

from tornado_app.core.boards import Order
from tornado_app.core.interfaces import ScoreSnapshot
from tornado_app.mongo.client.cluster_time import cluster_time, cluster_time_to_int
from tornado_app.mongo.client.driver import Client, Document, maybe_await
from tornado_app.mongo.players.documents import ON_BOARD, milliseconds

Key = TypeVar("Key")

BATCH = 5_000
"""Rows in one answer; decoding it blocks the loop for some milliseconds."""

TIMEOUT = 120.0
"""Seconds; a million players take about half of one."""

_RANGES: Document = {name: ON_BOARD[name] for name in ("score", "updatedAt")}

_KINDS = [("int", "date", "string"), ("long", "date", "string")]
"""The types of score, time and user id, as in `documents.ON_BOARD`."""


def _grouped(match: Document) -> list[Document]:
    """Counts by score, and by the types of the stored values.

    The match has ranges only and the key has everything else, so that the board's index alone answers: in a seventh of
    the time that reading documents takes (docs/decisions.md). So hidden players are counted first, and subtracted.
    """
    kinds = {name: {"$type": field} for name, field in (("s", "$score"), ("u", "$updatedAt"), ("i", "$_id"))}
    key = {"score": "$score", **kinds}
    return [{"$match": match}, {"$group": {"_id": key, "players": {"$sum": 1}, "updated": {"$max": "$updatedAt"}}}]


async def read_snapshots(
    client: Client, collections: Mapping[Key, Any], *, batch: int = BATCH
) -> tuple[Timestamp, dict[Key, ScoreSnapshot]]:
    """The scores of each collection at cluster time T, and T: a stream from T on misses nothing.

    All collections are of one database.
    """
    with pymongo.timeout(TIMEOUT):
        moment = await cluster_time(next(iter(collections.values())).database)
    snapshots = {key: await _snapshot(client, players, moment, batch) for key, players in collections.items()}
    return moment, snapshots


async def _snapshot(client: Client, players: Any, moment: Timestamp, batch: int) -> ScoreSnapshot:
    with pymongo.timeout(TIMEOUT):
        all_rows, hidden_rows = await _read(client, players, moment, _RANGES, batch)
    counts = _counts(all_rows)
    counts.subtract(_counts(hidden_rows))
    latest = max((row["updated"] for row in all_rows), default=None)
    shown = [(score, count) for score, count in counts.items() if count]
    return ScoreSnapshot(shown, cluster_time_to_int(moment), milliseconds(latest) or 0)


async def count_above(client: Client, players: Any, score: int, order: Order) -> int:
    """Number of players on the board with a better score, at one moment."""
    better = "$gt" if order is Order.DESCENDING else "$lt"
    above = {**_RANGES, "score": {**_RANGES["score"], better: score}}
    with pymongo.timeout(TIMEOUT):
        moment = await cluster_time(players.database)
        all_rows, hidden_rows = await _read(client, players, moment, above, BATCH)
    return _counts(all_rows).total() - _counts(hidden_rows).total()


async def _read(
    client: Client, players: Any, moment: Timestamp, ranges: Document, batch: int
) -> tuple[list[Document], list[Document]]:
    """The groups of all players within the ranges at a moment, and those of the hidden players."""
    all_rows = await _rows(client, players, moment, ranges, batch)
    return all_rows, await _rows(client, players, moment, {"hidden": True, **ranges}, batch)


async def _rows(client: Client, players: Any, moment: Timestamp, match: Document, batch: int) -> list[Document]:
    """The groups, at the moment, of all documents that may be on the board."""
    database = players.database
    command = {
        "aggregate": players.name,
        "pipeline": _grouped(match),
        "cursor": {"batchSize": batch},
        "allowDiskUse": True,
        "readConcern": {"level": "snapshot", "atClusterTime": moment},
    }
    async with await maybe_await(client.start_session(causal_consistency=False)) as session:
        cursor = await database.cursor_command(command, session=session, codec_options=players.codec_options)
        rows: list[Document] = await cursor.batch_size(batch).to_list(None)
    return [row for row in rows if tuple(row["_id"][name] for name in "sui") in _KINDS]


def _counts(rows: list[Document]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for row in rows:
        counts[row["_id"]["score"]] += row["players"]
    return counts
