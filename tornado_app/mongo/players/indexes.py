"""Creates and checks, at start, the indexes that the service relies on."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from tornado_app.core.boards import MAIN, Order
from tornado_app.core.errors import StartupError
from tornado_app.mongo.client import preflight
from tornado_app.mongo.client.driver import DURABLE, Client
from tornado_app.mongo.client.index_build import DEFAULT_WAITING, Waiting, make_index
from tornado_app.mongo.players.documents import ALL_TIME_FIELDS, ViewFields, collection_of
from tornado_app.mongo.players.suspects import RETENTION, SUSPECTS

log = logging.getLogger("leaderboard.schema")

BOARD_INDEX = "board"

HIDDEN_INDEX = "hidden"
"""Of the few hidden players; writes of other players do not change it."""

COPYING_INDEX = "copying"
"""Of the players of `main` whose change is not on all boards yet (records.py)."""

PERIOD_INDEX = "period."
"""How the names of the indexes of periods begin."""

MAX_UNUSED = 8
"""Indexes of removed periods that are kept: a period may come back, and a process with a former boards file reads it.
A collection has 64 indexes at most."""

TIMEOUT = 20.0
"""Timeout of listing the indexes, in seconds."""

_CONFLICTS = frozenset({85, 86})
"""IndexOptionsConflict, IndexKeySpecsConflict."""

_INDEX_NOT_FOUND = 27

_INDIFFERENT = frozenset({"v", "key", "ns", "background"})
"""Options of an index that do not matter: it still contains every player in the board's order."""


async def ensure(
    client: Client,
    database: str,
    collection: str = "players",
    *,
    order: Order = Order.DESCENDING,
    periods: Collection[str] = (),
    waiting: Waiting = DEFAULT_WAITING,
) -> None:
    """Create missing indexes, also of periods, however long that takes, and drop those of periods that are long gone.

    Raises StartupError if that is impossible.
    """
    keys = ALL_TIME_FIELDS.order(order)
    players = client[database].get_collection(collection, write_concern=DURABLE)
    try:
        if not await _create(players, keys, waiting, name=BOARD_INDEX):
            with pymongo.timeout(TIMEOUT):
                _accept(await players.index_information(), keys, f"{database}.{collection}")
        await _create(players, [("hidden", 1)], waiting, name=HIDDEN_INDEX, partialFilterExpression={"hidden": True})
        for period in periods:
            fields = ViewFields.of(period)
            of_epoch = [(f"w.{period}.e", 1), *fields.order(order)]
            part = {f"w.{period}.e": {"$exists": True}}
            await _create(players, of_epoch, waiting, name=PERIOD_INDEX + period, partialFilterExpression=part)
        if periods:
            await _drop_unused(players, {PERIOD_INDEX + period for period in periods})
        if collection == collection_of(MAIN.name):
            copying = {"copying": {"$exists": True}}
            await _create(players, [("copying", 1)], waiting, name=COPYING_INDEX, partialFilterExpression=copying)
        # An index on the same field with another time is an operator's choice, and stays.
        await _create(client[database][SUSPECTS], [("seen", 1)], waiting, expireAfterSeconds=RETENTION)
    except PyMongoError as error:
        reason = preflight.explain(error, database)
        raise StartupError(f"the indexes of {database}.{collection} cannot be created: {reason}") from error


async def _create(collection: Any, keys: list[tuple[str, int]], waiting: Waiting, **options: Any) -> bool:
    """Create an index; false if an index with other options has its place."""
    try:
        await make_index(collection, keys, waiting=waiting, **options)
    except OperationFailure as error:
        if error.code not in _CONFLICTS:
            raise
        return False
    return True


async def _drop_unused(collection: Any, used: Collection[str]) -> None:
    """Drop the indexes of removed periods, the oldest first, unless they are few."""
    with pymongo.timeout(TIMEOUT):
        names = [name for name in await collection.index_information() if name.startswith(PERIOD_INDEX)]
        for name in [name for name in names if name not in used][:-MAX_UNUSED]:
            try:
                await collection.drop_index(name)
            except OperationFailure as error:
                if error.code != _INDEX_NOT_FOUND:  # another process may drop it at the same time
                    raise


def _accept(indexes: Mapping[str, Any], keys: list[tuple[str, int]], place: str) -> None:
    """Accept an index of the same keys under another name. Raises StartupError for a conflicting one."""
    candidates = {name: index for name, index in indexes.items() if name == BOARD_INDEX or _keys(index) == keys}
    for name, index in candidates.items():
        if _keys(index) == keys and set(index) <= _INDIFFERENT:
            log.info("the board's index has another name", extra={"index": name})
            return
    conflicting = next(iter(candidates), BOARD_INDEX)
    raise StartupError(
        f"collection {place} has an index {conflicting!r} that conflicts with the board's, {dict(keys)}: drop "
        f"it with db.{place.partition('.')[2]}.dropIndex({conflicting!r}), then start again"
    )


def _keys(index: Any) -> list[tuple[str, int]]:
    return [(field, int(direction)) for field, direction in index["key"]]
