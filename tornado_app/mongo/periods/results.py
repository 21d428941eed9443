"""The results of epochs: a row for each player, with the competition rank, as sealing.py makes them.

    results.<board>.<period>.<epoch>: {_id: user id, place, rank, score, at, username?, avatarUrl?}

`place` is 1, 2, 3 … in board order, also where ranks are equal; an erasure leaves a gap. The digest of an epoch is the
SHA-256 of its rows as lines of JSON in the order of places: what `lines` returns.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection
from hashlib import sha256
from typing import Any

import msgspec

from tornado_app.core.boards import NAME_PATTERN, View
from tornado_app.core.model import Place, Player, Standing, rfc3339
from tornado_app.core.periods import PERIOD_PATTERN
from tornado_app.mongo.client.driver import Client, Document, maybe_await
from tornado_app.mongo.client.errors import database_errors, next_page
from tornado_app.mongo.periods.plan import key
from tornado_app.mongo.players.documents import milliseconds

PREFIX = "results."

BATCH = 500
"""Rows that are read and encoded at once: about 3 ms of work."""

UNION = 100
"""Results that are searched by one aggregation. The server accepts 1000 stages; with 300, it takes longer in all."""

TIMEOUT = 30.0
"""Timeout of one batch, in seconds."""


class _Line(msgspec.Struct, omit_defaults=True):
    """A row as a line of JSON."""

    place: int
    rank: int
    user_id: str
    username: str
    score: int
    updated_at: str
    avatar_url: str | None = None


COLUMNS = _Line.__struct_fields__
"""The members of a line."""


def collection_of(view: View, number: int) -> str:
    """The name of the collection with the result of an epoch."""
    return PREFIX + key(view, number)


_RESULT = re.compile(rf"results\.({NAME_PATTERN}\.{PERIOD_PATTERN}\.[0-9]+)(\.unfinished-[0-9a-f]+)?").fullmatch


def epoch_of(collection: str) -> str | None:
    """The `_id` of the epoch whose result a collection has, or will have; None if its name is no result's."""
    match = _RESULT(collection)
    return None if match is None else match[1]


async def rows_of(database: Any, player: str, never: Collection[str] = ()) -> AsyncIterator[list[Document]]:
    """The player's rows, also of boards that are not served and of results that are being made, but not of the boards
    `never`; those of a hundred results at once. `_id` is the name of the collection. Raises PyMongoError."""
    names = await database.list_collection_names(filter={"name": {"$regex": f"^{PREFIX}"}})
    results = sorted(
        name for name in names if (epoch := epoch_of(name)) is not None and epoch.partition(".")[0] not in never
    )
    for start in range(0, len(results), UNION):
        first, *others = [
            (name, [{"$match": {"_id": player}}, {"$set": {"_id": {"$literal": name}}}])
            for name in results[start : start + UNION]
        ]
        unions = [{"$unionWith": {"coll": name, "pipeline": row}} for name, row in others]
        cursor = await maybe_await(database[first[0]].aggregate([*first[1], *unions]))
        yield await cursor.to_list(None)


class Results:
    """Reads results that are final. `timeout` of a read, in seconds."""

    def __init__(self, client: Client, database: str, *, timeout: float = 5.0) -> None:
        self._database = client[database]
        self._timeout = timeout

    async def page(self, view: View, number: int, *, after: int = 0, limit: int) -> list[Place]:
        """Up to `limit` rows after a place, in their order. Raises DatabaseError."""
        async with database_errors(self._timeout):
            rows = self._rows(view, number).find({"place": {"$gt": after}}).sort("place", 1).limit(limit)
            return [_row(document) for document in await rows.to_list(None)]

    async def player(self, view: View, number: int, user_id: str) -> Place | None:
        """A player's row; None if the player is not in the result. Raises DatabaseError."""
        async with database_errors(self._timeout):
            document = await self._rows(view, number).find_one({"_id": user_id})
        return None if document is None else _row(document)

    async def lines(self, view: View, number: int) -> AsyncIterator[list[bytes]]:
        """All rows as lines of JSON, in batches. Raises PyMongoError."""
        rows = self._rows(view, number).find({}).sort("place", 1).batch_size(BATCH)
        encode = msgspec.json.Encoder().encode
        while batch := await next_page(rows, BATCH, TIMEOUT):
            yield [encode(_line(document)) + b"\n" for document in batch]

    async def digest(self, view: View, number: int) -> tuple[int, str]:
        """The number of rows, and the SHA-256 over them, in hexadecimal. Raises PyMongoError."""
        count, digest = 0, sha256()
        async for batch in self.lines(view, number):
            count += len(batch)
            digest.update(b"".join(batch))
        return count, digest.hexdigest()

    async def last_place(self, view: View, number: int) -> int:
        """The place of the last row; 0 without rows. Raises PyMongoError."""
        row = await self._rows(view, number).find_one({}, {"place": 1}, sort=[("place", -1)])
        return 0 if row is None else int(row["place"])

    def _rows(self, view: View, number: int) -> Any:
        return self._database[collection_of(view, number)]


def _row(document: Document) -> Place:
    user_id = document["_id"]
    player = Player(
        user_id,
        int(document["score"]),
        milliseconds(document["at"]) or 0,
        document.get("username") or user_id,
        document.get("avatarUrl"),
    )
    return Place(int(document["place"]), Standing(int(document["rank"]), player))


def _line(document: Document) -> _Line:
    row = _row(document)
    player = row.standing.player
    return _Line(
        row.number,
        row.standing.rank,
        player.user_id,
        player.username,
        player.score,
        rfc3339(player.updated_at),
        player.avatar_url,
    )
