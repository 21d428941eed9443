"""Converts errors of the driver to DatabaseError."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pymongo
from pymongo.errors import NetworkTimeout, PyMongoError

from tornado_app.core.errors import DatabaseError

log = logging.getLogger("leaderboard.store")


@contextlib.asynccontextmanager
async def database_errors(seconds: float | None) -> AsyncIterator[None]:
    """Bounds the enclosed operations, and raises DatabaseError for any error of the driver. None: without a bound."""
    try:
        with pymongo.timeout(seconds):
            yield
    except PyMongoError as error:
        log.warning("the database did not answer: %s", type(error).__name__)
        raise DatabaseError(retry_after=1.0) from error


async def next_page(cursor: Any, size: int, seconds: float) -> list[Any]:
    """Up to `size` more results of a cursor, whose `batch_size` is `size`. Raises PyMongoError, also after `seconds`.

    Not bounded by `pymongo.timeout`: around the first page, it would give the query a `maxTimeMS`, which counts the
    server's work for all of its pages.
    """
    try:
        async with asyncio.timeout(seconds):
            return list(await cursor.to_list(size))
    except TimeoutError:
        raise NetworkTimeout(f"a query had no answer within {seconds:g} s") from None
