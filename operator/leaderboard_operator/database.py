"""Dropping the database of a Leaderboard that is deleted: all that the operator itself does in MongoDB."""

from __future__ import annotations

from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError

PATIENCE_MS = 10_000


class NotDropped(Exception):
    """The database could not be dropped; the message holds no secret."""


async def drop(uri: str, name: str) -> None:
    """Drop the database; one that is not there is no error. Raises NotDropped."""
    try:
        client: AsyncMongoClient[dict[str, Any]]
        async with AsyncMongoClient(uri, timeoutMS=PATIENCE_MS, serverSelectionTimeoutMS=PATIENCE_MS) as client:
            await client.drop_database(name)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise NotDropped("the connection string cannot be used") from error
    except PyMongoError as error:
        raise NotDropped(f"{type(error).__name__}: MongoDB refuses or cannot be reached") from error
