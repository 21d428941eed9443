"""Creates an index and waits for as long as the server builds it: on a large collection that takes minutes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from tornado_app.mongo.client.driver import is_transient, maybe_await
from tornado_app.runtime.tasks import cancel_and_wait

log = logging.getLogger("leaderboard.schema")


class Waiting(NamedTuple):
    """Times of waiting for a build, in seconds.

    `interval`: between two progress reports; `call`: for one query of the progress; `silence`: for which the server may
    not answer before the build is given up (an election takes 12).
    """

    interval: float = 5.0
    call: float = 5.0
    silence: float = 60.0


DEFAULT_WAITING = Waiting()


async def make_index(
    collection: Any, keys: list[tuple[str, int]], *, waiting: Waiting = DEFAULT_WAITING, **options: Any
) -> None:
    """Create an index, or wait for the same build by another process, and log the progress.

    After an election the new primary continues the build. Raises PyMongoError if the server refuses, or no longer
    answers. Not bounded by `pymongo.timeout`, because the driver would pass it to the server, which then aborts the
    build.
    """
    loop = asyncio.get_running_loop()
    began = answered = loop.time()
    building = _start(collection, keys, options)
    try:
        while True:
            await asyncio.wait([building], timeout=waiting.interval)
            try:
                if building.done():
                    building.result()
                    return
                progress = await _progress(collection, waiting.call)
            except PyMongoError as error:
                if not is_transient(error) or loop.time() - answered > waiting.silence:
                    raise
                log.warning("still waiting for the index of %s: %s", collection.full_name, type(error).__name__)
                await asyncio.sleep(min(1.0, waiting.interval))
            else:
                answered = loop.time()
                text = "the server builds an index of %s, %s; %.0f s so far"
                log.info(text, collection.full_name, progress, answered - began)
            if building.done() and building.exception() is not None:
                building = _start(collection, keys, options)
    finally:
        await cancel_and_wait(building)


def _start(collection: Any, keys: list[tuple[str, int]], options: dict[str, Any]) -> asyncio.Future[Any]:
    return asyncio.ensure_future(maybe_await(collection.create_index(keys, **options)))


async def _progress(collection: Any, seconds: float) -> str:
    """The progress in words; a user with only the role readWrite may not read it."""
    stages = [
        {"$currentOp": {"allUsers": True}},
        {"$match": {"command.createIndexes": collection.name, "command.$db": collection.database.name}},
    ]
    try:
        with pymongo.timeout(seconds):
            cursor = await maybe_await(collection.database.client.admin.aggregate(stages))
            operations = await cursor.to_list(None)
    except OperationFailure as error:
        if is_transient(error):
            raise
        return "whose progress this user may not read"
    for progress in (operation.get("progress") or {} for operation in operations):
        if progress.get("total"):
            return f"{progress['done']:,} of {progress['total']:,}"
    return "which reports no progress yet"
