"""The one reader of the change stream on a machine with several processes: it passes the events to a sink."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Protocol

import pymongo
from bson import Timestamp
from pymongo.errors import PyMongoError

from tornado_app.mongo.change_stream.events import HistoryLost
from tornado_app.mongo.change_stream.resume_point import ResumePoint
from tornado_app.mongo.change_stream.source import (
    CALL_TIMEOUT,
    RESUME_TIMEOUT,
    ChangeStream,
    EventBatch,
    collection_ids,
    follow,
)
from tornado_app.mongo.client.cluster_time import cluster_time, cluster_time_to_int
from tornado_app.mongo.client.driver import Client
from tornado_app.runtime.tasks import run_until_first_exits

log = logging.getLogger("leaderboard.feed")

CHECK_INTERVAL = 1.0
"""Seconds between two checks of the collection."""


class EventSink(Protocol):
    """Receives the events of the players, in their order."""

    def begin(self, version: int, reason: str) -> None:
        """Events after this cluster time follow. Those before may be missing, for this reason."""

    def put(self, batch: EventBatch) -> None:
        """The next events, and the position after them."""


class Follower:
    """Reads the change stream of all boards into `sink` until cancelled.

    If the stream breaks, it is continued at its position. If the history is lost, the sink begins a new one, at a time
    that is not before the reason is reported: a snapshot that is then read is not older than the history.

    `on_restart` is called with the reason when a broken stream is reopened.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        sink: EventSink,
        *,
        on_restart: Callable[[str], None] = lambda reason: None,
        call_timeout: float = CALL_TIMEOUT,
        resume_timeout: float = RESUME_TIMEOUT,
    ) -> None:
        self._database: Any = client[database]
        self._stream = ChangeStream(self._database, call_timeout=call_timeout)
        self._sink = sink
        self._on_restart = on_restart
        self._call_timeout = call_timeout
        self._resume_timeout = resume_timeout
        self._position: ResumePoint | None = None
        self._reason = ""
        self._collection_ids: dict[str, object] = {}

    async def run(self) -> None:
        """Read until cancelled, and retry after every error."""
        await follow(
            self._follow,
            on_lost=self._forget,
            on_broken=self._on_restart,
            position=lambda: self._position,
            stable=self._call_timeout,
            resume_timeout=self._resume_timeout,
        )

    def _forget(self, reason: str) -> None:
        log.warning("the change stream's history cannot be used (%s), following a new one", reason)
        self._position = None
        self._reason = self._reason or reason  # the first one, until the sink has it

    async def _follow(self) -> None:
        try:
            start = self._position or await self._begin()
            await run_until_first_exits(self._read(start), self._check_collections())
        except (HistoryLost, PyMongoError):
            raise
        except Exception as fault:  # a new history does not contain an event that cannot be read
            log.exception("following the change stream failed")
            raise HistoryLost("failed") from fault

    async def _begin(self) -> ResumePoint:
        with pymongo.timeout(self._call_timeout):
            self._collection_ids = await collection_ids(self._database)
            moment = await cluster_time(self._database)
        self._sink.begin(cluster_time_to_int(moment), self._reason)
        self._reason = ""
        self._position = start = Timestamp(moment.time, moment.inc + 1)
        return start

    async def _read(self, start: ResumePoint) -> None:
        async with aclosing(self._stream.read(start)) as batches:
            async for batch in batches:
                for event in batch.events:
                    if event.ends_history:
                        self._collection_ids.pop(event.board, None)
                self._sink.put(batch)
                self._position = batch.token or self._position

    async def _check_collections(self) -> None:
        """Raises HistoryLost if the collection of a board is another one, without an event.

        A feed checks it too, but cannot restart this stream. If there is no collection, an event says why.
        """
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            try:
                with pymongo.timeout(self._call_timeout):
                    found = await collection_ids(self._database)
            except PyMongoError:
                continue  # the stream has the same error
            known = self._collection_ids
            if any(known.get(board, id_) != id_ for board, id_ in found.items()):
                raise HistoryLost("replaced")
            known.update(found)
