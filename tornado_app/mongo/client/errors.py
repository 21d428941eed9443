"""Converts errors of the driver to DatabaseError."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

import pymongo
from pymongo.errors import PyMongoError

from tornado_app.core.errors import DatabaseError

log = logging.getLogger("leaderboard.store")


@contextlib.asynccontextmanager
async def database_errors(seconds: float) -> AsyncIterator[None]:
    """Bounds the enclosed operations, and raises DatabaseError for any error of the driver."""
    try:
        with pymongo.timeout(seconds):
            yield
    except PyMongoError as error:
        log.warning("the database did not answer: %s", type(error).__name__)
        raise DatabaseError(retry_after=1.0) from error
