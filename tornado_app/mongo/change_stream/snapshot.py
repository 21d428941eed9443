"""Every score of each view at one cluster time, counted by the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import pymongo
from bson import Timestamp

from tornado_app.core.boards import Order
from tornado_app.core.interfaces import ScoreSnapshot
from tornado_app.mongo.client.cluster_time import cluster_time, cluster_time_to_int
from tornado_app.mongo.client.driver import Client, Document, maybe_await
from tornado_app.mongo.players.documents import ALL_TIME_FIELDS, ViewFields, milliseconds

Key = TypeVar("Key")

BATCH = 5_000
"""Rows in one answer; decoding it blocks the loop for some milliseconds."""

TIMEOUT = 120.0
"""Seconds; a million players take about half of one."""

_KINDS = [("int", "date", "string"), ("long", "date", "string")]
"""The types of score, time and user id, as in `ViewFields.shown`."""


class ViewSource(NamedTuple):
    """Where the scores of a view are. `epoch`: of a period, the open one, or one before it."""

    players: Any
    fields: ViewFields = ALL_TIME_FIELDS
    epoch: int | None = None

    @property
    def ranges(self) -> Document:
        """The filter of all documents that the view may show. A later epoch than the known one may have begun."""
        return {
            **({} if self.fields.epoch is None else {self.fields.epoch: {"$gte": self.epoch}}),
            **self.fields.ranges,
        }


def _grouped(fields: ViewFields, match: Document) -> list[Document]:
    """Counts by score, and by the types of the stored values.

    The match has ranges only and the key has everything else, so that the board's index alone answers: in a seventh of
    the time that reading documents takes (docs/decisions.md). So hidden players are counted first, and subtracted.
    """
    score, at = f"${fields.score}", f"${fields.at}"
    key: Document = {"score": score, "s": {"$type": score}, "u": {"$type": at}, "i": {"$type": "$_id"}}
    if fields.epoch is not None:
        key["epoch"] = f"${fields.epoch}"
    return [{"$match": match}, {"$group": {"_id": key, "players": {"$sum": 1}, "updated": {"$max": at}}}]


async def read_snapshots(
    client: Client, sources: Mapping[Key, ViewSource], *, batch: int = BATCH
) -> tuple[Timestamp, dict[Key, ScoreSnapshot]]:
    """The scores of each view at cluster time T, and T: a stream from T on misses nothing.

    All are of one database.
    """
    with pymongo.timeout(TIMEOUT):
        moment = await cluster_time(next(iter(sources.values())).players.database)
    snapshots = {key: await _snapshot(client, source, moment, batch) for key, source in sources.items()}
    return moment, snapshots


async def _snapshot(client: Client, source: ViewSource, moment: Timestamp, batch: int) -> ScoreSnapshot:
    with pymongo.timeout(TIMEOUT):
        all_rows, hidden_rows = await _read(client, source, moment, source.ranges, batch)
    epoch = source.epoch
    if epoch is not None:
        epoch = max((row["_id"]["epoch"] for row in all_rows), default=epoch)
        all_rows, hidden_rows = (_of(epoch, rows) for rows in (all_rows, hidden_rows))
    counts = _counts(all_rows)
    counts.subtract(_counts(hidden_rows))
    latest = max((row["updated"] for row in all_rows), default=None)
    shown = [(score, count) for score, count in counts.items() if count]
    return ScoreSnapshot(shown, cluster_time_to_int(moment), milliseconds(latest) or 0, epoch)


async def count_above(client: Client, source: ViewSource, score: int, order: Order) -> int:
    """Number of players in a view with a better score, at one moment; of a period, in this epoch."""
    better = "$gt" if order is Order.DESCENDING else "$lt"
    above, name = source.ranges, source.fields.score
    above[name] = {**above[name], better: score}
    if source.fields.epoch is not None:
        above[source.fields.epoch] = source.epoch
    with pymongo.timeout(TIMEOUT):
        moment = await cluster_time(source.players.database)
        all_rows, hidden_rows = await _read(client, source, moment, above, BATCH)
    return _counts(all_rows).total() - _counts(hidden_rows).total()


async def _read(
    client: Client, source: ViewSource, moment: Timestamp, ranges: Document, batch: int
) -> tuple[list[Document], list[Document]]:
    """The groups of all players within the ranges at a moment, and those of the hidden players."""
    all_rows = await _rows(client, source, moment, ranges, batch)
    return all_rows, await _rows(client, source, moment, {"hidden": True, **ranges}, batch)


async def _rows(client: Client, source: ViewSource, moment: Timestamp, match: Document, batch: int) -> list[Document]:
    """The groups, at the moment, of all documents that may be on the board."""
    players, database = source.players, source.players.database
    command = {
        "aggregate": players.name,
        "pipeline": _grouped(source.fields, match),
        "cursor": {"batchSize": batch},
        "allowDiskUse": True,
        "readConcern": {"level": "snapshot", "atClusterTime": moment},
    }
    async with await maybe_await(client.start_session(causal_consistency=False)) as session:
        cursor = await database.cursor_command(command, session=session, codec_options=players.codec_options)
        rows: list[Document] = await cursor.batch_size(batch).to_list(None)
    return [row for row in rows if tuple(row["_id"][name] for name in "sui") in _KINDS]


def _of(epoch: int, rows: list[Document]) -> list[Document]:
    return [row for row in rows if row["_id"]["epoch"] == epoch]


def _counts(rows: list[Document]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for row in rows:
        counts[row["_id"]["score"]] += row["players"]
    return counts
