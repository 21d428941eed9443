"""What PyMongo's Async API and Motor share, and the little in which they differ.

PyMongo Async is the default; Motor, past its end of life, stays as the extra `[motor]`. Where PyMongo returns an
awaitable and Motor a plain value (`aggregate`, `watch`, `close`, `start_session`), `settled` takes both.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable
from typing import Any, Literal, TypeAlias, TypeVar

import pymongo.lock
from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError, WTimeoutError

from tornado_app.core.errors import StartupError
from tornado_app.mongo.commands import Commands, Observe

DriverName: TypeAlias = Literal["pymongo", "motor"]
Document: TypeAlias = dict[str, Any]
T = TypeVar("T")
Client: TypeAlias = AsyncMongoClient[Document]

DUPLICATE_KEY = 11000
_TRANSIENT_CODES = frozenset({6, 7, 64, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Retryable by the drivers' specification, plus 64 WriteConcernFailed (the write may yet be lost)."""


def connect(
    uri: str, driver: DriverName = "pymongo", *, timeout: float = 5.0, observe: Observe | None = None
) -> Client:
    """A client for `uri`; it connects on first use and gives up on finding a server after `timeout` seconds.
    `observe` is told of each command.

    A Motor client is returned under the same type: the two are used alike here. Raises StartupError where the extra
    `[motor]` is not installed; an unusable URI raises what PyMongo raises.
    """
    options: dict[str, Any] = {
        "appname": "leaderboard",
        "serverSelectionTimeoutMS": round(timeout * 1000),
        "connectTimeoutMS": round(timeout * 1000),
        "tz_aware": True,
        "datetime_conversion": "DATETIME_CLAMP",  # a date past the year 9999 must not end whoever reads it
    }
    if observe is not None:
        options["event_listeners"] = [Commands(observe)]
    if driver == "pymongo":
        return AsyncMongoClient(uri, **options)
    try:
        from motor.motor_asyncio import AsyncIOMotorClient
    except ModuleNotFoundError as missing:
        raise StartupError(
            "mongo_driver=motor needs Motor: install the extra `motor` (in this project's folder: pip install .[motor])"
        ) from missing
    client: Any = AsyncIOMotorClient(uri, **options)
    return client  # type: ignore[no-any-return]


async def _wait_for(awaitable: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109  # asyncio's own signature
    """`asyncio.wait_for` as it is from Python 3.12 on: in the caller's own task."""
    async with asyncio.timeout(timeout):
        return await awaitable


if sys.version_info < (3, 12):
    # Before, `wait_for` runs what it waits for in a task of its own. When a wait for a server or a connection is
    # cancelled in a moment in which that task takes the driver's lock back, nobody gives the lock up again, and every
    # later operation of the client hangs for ever. tests/mongo/test_driver.py shows it.
    pymongo.lock.wait_for = _wait_for  # type: ignore[attr-defined, assignment]


async def settled(value: Any) -> Any:
    """The value itself, awaited where the driver made it awaitable."""
    return await value if inspect.isawaitable(value) else value


def is_transient(error: PyMongoError) -> bool:
    """Whether the same operation may succeed in a moment: the network, an election, a timeout."""
    if error.timeout or isinstance(error, ConnectionFailure | ExecutionTimeout | WTimeoutError):
        return True
    if error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
        return True
    return getattr(error, "code", None) in _TRANSIENT_CODES


def let_go(error: BaseException | None) -> None:
    """Forget where an error that was dealt with came from.

    The driver keeps a command's last error beside the frames that it leads to, and only the collector frees such a
    circle, with all that was to be written.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__
