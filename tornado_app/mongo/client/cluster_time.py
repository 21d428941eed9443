"""Clocks: the cluster's, as a version (core/versions.py), and this machine's."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from bson import Timestamp

from tornado_app.core.versions import seconds_of, version_at
from tornado_app.mongo.client.driver import maybe_await

PAUSE = 0.02
"""Seconds between two requests to a server that has no cluster time yet."""


def wall_clock() -> int:
    """Now, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def cluster_time_to_int(moment: Timestamp) -> int:
    """The version at a cluster time: it grows with the time, and is the same in every process."""
    return version_at(int(moment.time), int(moment.inc))


def cluster_time_of(version: int) -> Timestamp:
    """The cluster time with this version."""
    return Timestamp(seconds_of(version), version - version_at(seconds_of(version), 0))


@contextlib.asynccontextmanager
async def clocked(collection: Any) -> AsyncIterator[Any]:
    """A session that records the time of its operations, for `reached`."""
    session = await maybe_await(collection.database.client.start_session(causal_consistency=False))
    async with session:
        yield session


def reached(session: Any) -> int:
    """The version that includes all writes and reads of the session so far; 0 if the server has no time yet.

    From the server's `operationTime`: of a write its own time, of a read at majority the time that it may have seen.
    """
    moment: Timestamp | None = session.operation_time
    return 0 if moment is None else cluster_time_to_int(moment)


async def cluster_time(database: Any) -> Timestamp:
    """The database's time now, bounded by the caller's `pymongo.timeout`.

    A server with access control answers without a time for some tenths of a second after its start.
    """
    while True:
        moment: Timestamp | None = (await database.command("ping")).get("operationTime")
        if moment is not None:
            return moment
        await asyncio.sleep(PAUSE)
