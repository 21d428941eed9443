"""The rule and the order of each board, as its database records them.

    leaderboard_metadata: {_id: "board.<name>", rule, order}

The scores of a board make sense with its rule and its order only. So these are recorded when the board has no data, and
a service with others does not start on data. The board `main` without a record has the default ones. Any other board is
recorded before it is served, also beside running processes.
"""

from __future__ import annotations

from typing import Any

import pymongo
from bson import MaxKey
from pymongo import ReturnDocument
from pymongo.errors import OperationFailure, PyMongoError

from tornado_app.core.boards import MAIN, Board, Order, Rule
from tornado_app.core.errors import StartupError
from tornado_app.mongo.client import preflight
from tornado_app.mongo.client.driver import DURABLE, Client
from tornado_app.mongo.ledger.lease import LEASES, TTL
from tornado_app.mongo.ledger.reader import LEDGER
from tornado_app.mongo.ownership import METADATA
from tornado_app.mongo.players.documents import collection_of
from tornado_app.mongo.players.indexes import BOARD_INDEX

TIMEOUT = 30.0
"""Timeout of reading and recording, in seconds."""

_NOT_THERE = frozenset({26, 27})
"""NamespaceNotFound, IndexNotFound."""


async def record(client: Client, database: str, board: Board) -> None:
    """Record the rule and the order of a board without data. Raises StartupError if one with data has others."""
    try:
        with pymongo.timeout(TIMEOUT):
            await _record(client[database], board)
    except PyMongoError as error:
        raise StartupError(preflight.explain(error, database)) from error


async def recorded(database: Any, name: str) -> Board:
    """A board with the rule and the order that the database records. Raises PyMongoError."""
    with pymongo.timeout(TIMEOUT):
        found = await database[METADATA].find_one({"_id": f"board.{name}"}) or _definition(MAIN)
    return Board(name, Rule(found["rule"]), Order(found["order"]))


async def _record(database: Any, board: Board) -> None:
    players = database[collection_of(board.name)]
    metadata = database.get_collection(METADATA, write_concern=DURABLE)
    key, wanted = {"_id": f"board.{board.name}"}, _definition(board)
    recorded = await metadata.find_one(key, {"_id": 0})
    has_data = recorded != wanted and await _has_data(database, board.name)
    if recorded is None and board.name != MAIN.name and not has_data:
        recorded = await metadata.find_one_and_update(
            key, {"$setOnInsert": wanted}, {"_id": 0}, upsert=True, return_document=ReturnDocument.AFTER
        )
    recorded = recorded or _definition(MAIN)
    if recorded == wanted:
        return
    if has_data:
        raise _conflict(database.name, board, recorded)
    if await database[LEASES].find_one({"$expr": {"$gt": ["$until", "$$NOW"]}}) is not None:
        recorded = await metadata.find_one(key, {"_id": 0}) or recorded
        if recorded == wanted:  # another process of this start was faster
            return
        raise _running(database.name, board, recorded)
    if recorded["order"] != wanted["order"]:
        await _drop_index(players)  # before the record, after which no start would drop it
    await metadata.update_one(key, {"$set": wanted}, upsert=True)


async def _has_data(database: Any, board: str) -> bool:
    """Whether a board has players, or the ledger has entries of the board."""
    players = await database[collection_of(board)].find_one({}, {"_id": 1})
    return players is not None or await database[LEDGER].find_one(_entries(board), {"_id": 1}) is not None


def _entries(board: str) -> dict[str, Any]:
    """The filter of a board's ledger entries, by the index on `player`: a text, or on another board an object."""
    if board == MAIN.name:
        return {"player": {"$type": "string"}}
    return {"player": {"$gte": {"board": board}, "$lt": {"board": board, "id": MaxKey()}}}


def _definition(board: Board) -> dict[str, Any]:
    return {"rule": board.rule.value, "order": board.order.value}


async def _drop_index(players: Any) -> None:
    """Drop the index of the other order; the start creates the one of this order."""
    try:
        await players.drop_index(BOARD_INDEX)
    except OperationFailure as error:
        if error.code not in _NOT_THERE:
            raise


def _conflict(database: str, board: Board, recorded: dict[str, Any]) -> StartupError:
    has = f"rule {recorded.get('rule')} and order {recorded.get('order')}"
    return StartupError(
        f"board {board.name} in database {database!r} has scores of {has}, which cannot become rule {board.rule} and "
        f"order {board.order}: set {has} in boards_file, or use another database (mongodb_database or data_dir)"
    )


def _running(database: str, board: Board, recorded: dict[str, Any]) -> StartupError:
    return StartupError(
        f"a process serves board {board.name} in database {database!r} with rule {recorded.get('rule')} and order "
        f"{recorded.get('order')}: stop it before rule {board.rule} and order {board.order}. If it was killed, wait "
        f"{TTL:g} seconds"
    )
