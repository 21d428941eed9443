"""The database's clock, as this process can read it without a request: so the clocks of processes do not matter."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import pymongo

from tornado_app.core.errors import DatabaseError
from tornado_app.mongo.client.driver import Client, maybe_await
from tornado_app.mongo.players.documents import milliseconds

TIMEOUT = 2.0
"""Timeout of one measurement, in seconds."""


class Clock(Protocol):
    """The time of the database, in milliseconds since 1970."""

    def now(self) -> int:
        """The time now, at most `error` milliseconds wrong. Raises DatabaseError if it was never measured."""

    @property
    def error(self) -> int:
        """The maximum error in milliseconds."""

    async def measure(self) -> None:
        """Compare it with the database. Raises PyMongoError."""


class DatabaseClock:
    """The clock of the primary: `localTime` of its `hello`, and the monotonic time since.

    That answer was made at some moment of the round trip, so half of the round trip is the maximum error.
    """

    def __init__(self, client: Client, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._offset: float | None = None
        self._error = 0

    @property
    def error(self) -> int:
        """As in Clock."""
        return self._error

    def now(self) -> int:
        """As in Clock."""
        if self._offset is None:
            raise DatabaseError(retry_after=1.0)
        return round(self._monotonic() * 1000 + self._offset)

    async def measure(self) -> None:
        """As in Clock."""
        before = self._monotonic()
        with pymongo.timeout(TIMEOUT):
            local: datetime = (await maybe_await(self._client.admin.command("hello")))["localTime"]
        after = self._monotonic()
        self._offset = (milliseconds(local) or 0) - (before + after) * 500
        self._error = round((after - before) * 500) + 1  # `localTime` has whole milliseconds
