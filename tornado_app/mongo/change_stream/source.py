"""Where a feed gets its events: the interface, MongoDB's change stream, and how a broken stream is continued."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import msgspec
import pymongo
from bson import Timestamp
from pymongo.errors import CursorNotFound, ExecutionTimeout, NetworkTimeout, OperationFailure, PyMongoError

from tornado_app.core.interfaces import InconsistentChange
from tornado_app.mongo.change_stream.events import WATCHED, HistoryLost, PlayerEvent, decode
from tornado_app.mongo.change_stream.resume_point import ResumePoint, Token, moment
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.client.driver import is_transient, maybe_await
from tornado_app.mongo.players.documents import COLLECTIONS, board_of
from tornado_app.runtime.backoff import backoff
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.feed")

AWAIT_MS = 100
"""Milliseconds for which the server holds an empty answer back: also the interval in which an idle stream reports its
position, for which a read with `If-Board-Version` may wait."""

BATCH = 200
"""Events in one answer; processing them blocks the loop for some milliseconds."""

CALL_TIMEOUT = 10.0
"""Seconds after which a silent connection is given up."""

RESUME_TIMEOUT = 120.0
"""Seconds after which a position is given up at which no call has returned in time: the server may search for it in a
large oplog, which begins again with each attempt."""

FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0
"""Seconds between two attempts to open the stream."""

LOST_HISTORY = frozenset({136, 237, 260, 280, 286})
"""CappedPositionLost, CursorKilled, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost."""

RESUMABLE = "ResumableChangeStreamError"


class EventBatch(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Events in their order, and the position of the stream after them.

    `read_at`: when the database answered, in seconds of the loop's clock, which all processes of a machine share.
    `at_end`: there were no more events then. `version`: all earlier events were delivered; None if unknown. `token`:
    the resume token of the position; None if unknown.
    """

    read_at: float
    at_end: bool = False
    version: int | None = None
    token: Token | None = None
    events: Sequence[PlayerEvent] = ()

    def is_past(self, version: int, since: float) -> bool:
        """Whether the stream is past a time that was the present at `since`: later events follow, or there are none."""
        return (self.at_end and self.read_at >= since) or (self.version is not None and self.version > version)


class EventSource(Protocol):
    """The events of the players of all boards, in one order."""

    def read(self, start: ResumePoint) -> AsyncGenerator[EventBatch]:
        """The events after a resume token, or from a cluster time on, without end.

        Raises HistoryLost if they cannot be delivered without a gap, and PyMongoError.
        """


class ChangeStream:
    """MongoDB's change stream of a database, with the events of all boards, as a source of events."""

    def __init__(self, database: Any, *, call_timeout: float = CALL_TIMEOUT) -> None:
        self._database = database
        self._call_timeout = call_timeout

    async def read(self, start: ResumePoint) -> AsyncGenerator[EventBatch]:
        """As in the interface."""
        time = asyncio.get_running_loop().time
        place = {"start_at_operation_time": start} if isinstance(start, Timestamp) else {"resume_after": start}
        with pymongo.timeout(self._call_timeout):
            opening = self._database.watch(WATCHED, max_await_time_ms=AWAIT_MS, batch_size=BATCH, **place)
            stream = await maybe_await(opening)
        try:
            if inspect.isawaitable(opening):  # Motor contacts the server only with the first read
                yield EventBatch(time())
            while True:
                with pymongo.timeout(self._call_timeout):  # one timeout for many events, which costs as much as for one
                    end = time() + self._call_timeout / 2
                    while time() < end:
                        asked_at = time()
                        event = await stream.try_next()
                        if event is None and not stream.alive:  # it would return empty answers at once, for ever
                            raise HistoryLost("invalidate")
                        if event is None:
                            yield empty_batch(stream.resume_token, asked_at)
                        else:
                            yield batch_of(event, time())
        finally:
            await close_stream(stream)


def batch_of(event: Mapping[str, Any], now: float) -> EventBatch:
    """The batch of one event, which was received at `now`. Raises as `events.decode`."""
    decoded = decode(event)
    version = cluster_time_to_int(event["clusterTime"])
    return EventBatch(now, version=version, token=event.get("_id"), events=() if decoded is None else (decoded,))


def empty_batch(token: Token | None, now: float) -> EventBatch:
    """The batch of an empty answer. It has a position too, so that an idle board is not out of date."""
    time = moment(token)
    return EventBatch(now, at_end=True, version=None if time is None else cluster_time_to_int(time), token=token)


async def collection_ids(database: Any) -> dict[str, object]:
    """An id of the collection of each board that has one, different for another collection of the same name.

    A stream continues without an error when a backup or an empty data directory has replaced the database.
    """
    command = {
        "listCollections": 1,
        "filter": {"name": {"$regex": COLLECTIONS}, "type": "collection"},
        "cursor": {"batchSize": 10_000},
    }
    found = (await database.command(command))["cursor"]["firstBatch"]
    ids = {board_of(each["name"]): each["info"]["uuid"] for each in found}
    return {board: id_ for board, id_ in ids.items() if board is not None}


async def close_stream(stream: Any) -> None:
    """Close a change stream's cursor, or leave that to the server."""
    try:
        with pymongo.timeout(1.0):
            await maybe_await(stream.close())
    except PyMongoError as error:
        log.debug("a change stream's cursor was left to the server: %s", type(error).__name__)


async def follow(
    once: Callable[[], Awaitable[None]],
    *,
    on_lost: Callable[[str], None],
    on_broken: Callable[[str], None],
    position: Callable[[], ResumePoint | None],
    stable: float = CALL_TIMEOUT,
    resume_timeout: float = RESUME_TIMEOUT,
) -> NoReturn:
    """Call `once`, which reads a source, again and again until cancelled; after `stable` seconds, without a pause.

    Called with the reason each time: `on_lost` if the history is lost, `on_broken` if the stream can be continued.
    `position`: that of `once`, which each answer of the source replaces; None if it has none.
    """
    loop = asyncio.get_running_loop()
    failures = 0
    stuck: tuple[ResumePoint | None, float] = None, 0.0  # a position without an answer in time, and since when
    while True:
        began = loop.time()
        try:
            await once()
        except HistoryLost as lost:
            on_lost(str(lost))
        except InconsistentChange:
            on_lost("inconsistent_change")
        except PyMongoError as error:
            if isinstance(error, OperationFailure) and error.code in LOST_HISTORY:
                on_lost("history_lost")
            elif isinstance(error, OperationFailure) and not _passes(error):
                on_lost("refused")
            else:
                reason, here = type(error).__name__, position()
                if here is None or here is not stuck[0] or not isinstance(error, NetworkTimeout | ExecutionTimeout):
                    stuck = here, loop.time()
                if loop.time() - stuck[1] > resume_timeout:
                    on_lost("resume_timeout")
                else:
                    log.warning("the change stream ended, reopening it: %s", reason)
                    on_broken(reason)
        if loop.time() - began > stable:
            failures = 0
        await asyncio.sleep(jittered(backoff(failures, FIRST_PAUSE, MAX_PAUSE)))
        failures += 1


def _passes(error: OperationFailure) -> bool:
    """Whether the stream can continue at its position. Any other refusal is because of that position."""
    return is_transient(error) or isinstance(error, CursorNotFound) or error.has_error_label(RESUMABLE)
