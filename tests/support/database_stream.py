"""The events of several boards, from one change stream of their database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import Any

from bson import Timestamp

from tornado_app.mongo.change_stream.events import WATCHED
from tornado_app.mongo.change_stream.resume_point import ResumePoint
from tornado_app.mongo.change_stream.source import BATCH, EventBatch, batch_of, empty_batch
from tornado_app.mongo.players.documents import collection_of


class DatabaseStream:
    """An EventSource. `database` is of PyMongo Async."""

    def __init__(self, database: Any, boards: Collection[str]) -> None:
        self._database = database
        self._boards = {collection_of(board): board for board in boards}

    async def read(self, start: ResumePoint) -> AsyncGenerator[EventBatch]:
        time = asyncio.get_running_loop().time
        place = {"start_at_operation_time": start} if isinstance(start, Timestamp) else {"resume_after": start}
        pipeline = [
            {"$match": {"ns.coll": {"$in": list(self._boards)}}},
            {"$project": {**WATCHED[0]["$project"], "ns": 1}},
        ]
        async with await self._database.watch(pipeline, max_await_time_ms=20, batch_size=BATCH, **place) as stream:
            while True:
                asked_at = time()
                event = await stream.try_next()
                if event is not None:
                    yield batch_of(event, self._boards[event["ns"]["coll"]], time())
                else:
                    yield empty_batch(stream.resume_token, asked_at)
