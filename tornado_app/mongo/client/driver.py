"""The common interface of PyMongo Async and Motor, and their few differences.

PyMongo Async is the default; Motor, past its end of life, stays as the extra `[motor]`. Where PyMongo returns an
awaitable and Motor a value (`aggregate`, `watch`, `close`, `start_session`), `maybe_await` accepts both.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias, TypeVar

import pymongo._csot
import pymongo.lock
from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError, WTimeoutError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from pymongo.write_concern import WriteConcern

from tornado_app.core.errors import StartupError
from tornado_app.mongo.client.uri_options import OVERRIDDEN, report_option, split_uri
from tornado_app.runtime.backoff import backoff
from tornado_app.runtime.tasks import jittered

DriverName: TypeAlias = Literal["pymongo", "motor"]
Document: TypeAlias = dict[str, Any]
T = TypeVar("T")
Client: TypeAlias = AsyncMongoClient[Document]

log = logging.getLogger("leaderboard.database")

DURABLE = WriteConcern(w="majority", j=True)
DUPLICATE_KEY = 11000
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.25
"""Seconds, before jitter, until a write that lost a race is retried; doubled each time."""

TRANSIENT_CODES = frozenset({6, 7, 64, 89, 91, 189, 215, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Retryable by the drivers' specification, plus 64 WriteConcernFailed (the write may yet be lost) and 215
DatabaseDropPending (nothing can be created in a database until its removal is complete)."""

Observe = Callable[[str, float | None], None]
"""Called with the name of each command and its seconds, None if it failed."""

WAITING = frozenset({"getMore"})
"""Commands without a meaningful duration: the server holds the answer back until there is an event."""


def connect(
    uri: str, driver: DriverName = "pymongo", *, timeout: float = 5.0, observe: Observe | None = None
) -> Client:
    """A client for `uri`; it connects on first use and gives up on finding a server after `timeout` seconds.
    `observe` is called for each command.

    A URI option in `OVERRIDDEN` is checked, logged and left out. A Motor client is returned under the same type: the
    two are used alike here. Raises StartupError where the extra `[motor]` is not installed; an unusable URI raises what
    PyMongo raises.
    """
    address, given = split_uri(uri)
    options: dict[str, Any] = {
        "readConcernLevel": "majority",
        "w": "majority",
        "journal": True,
        "serverSelectionTimeoutMS": round(timeout * 1000),
        "connectTimeoutMS": round(timeout * 1000),
        "tz_aware": True,
        "datetime_conversion": "DATETIME_CLAMP",  # a date past the year 9999 must not raise an error in a read
        "unicode_decode_error_handler": "replace",  # nor must text that is not UTF-8, which MongoDB stores unchecked
    }
    if all(name.lower() != "appname" for name, _ in given):
        options["appname"] = "leaderboard"
    if observe is not None:
        options["event_listeners"] = [CommandMetrics(observe)]
    kept = "&".join(f"{name}={value}" for name, value in given if name.lower() not in OVERRIDDEN)
    client = _client_class(driver)(f"{address}?{kept}" if kept else address, **options)
    for name, value in given:  # not before: in a URI that cannot be parsed, a value may be a part of the password
        report_option(name, value)
    return client  # type: ignore[no-any-return]


def _client_class(driver: DriverName) -> Any:
    if driver == "pymongo":
        return AsyncMongoClient
    try:
        from motor.motor_asyncio import AsyncIOMotorClient
    except ModuleNotFoundError as missing:
        raise StartupError(
            "mongodb_driver=motor needs the extra `motor`; in this project's folder, run: pip install .[motor]"
        ) from missing
    return AsyncIOMotorClient


async def _wait_for(awaitable: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109  # asyncio's own signature
    """`asyncio.wait_for` as of Python 3.12: it awaits in the caller's own task."""
    async with asyncio.timeout(timeout):
        return await awaitable


if sys.version_info < (3, 12):
    # Before 3.12, `wait_for` awaits in a task of its own. If a wait for a server or a connection is cancelled while
    # that task acquires the driver's lock, the lock is never released, and every later operation of the client hangs.
    # tests/mongo/test_driver.py shows it.
    pymongo.lock.wait_for = _wait_for  # type: ignore[attr-defined, assignment]


# The driver refuses an operation whose timeout is shorter than the least of the last round trips that it measured: it
# would take ten seconds or more after a network that stood still to measure a new one. With more samples required than
# are kept, the least is 0. tests/mongo/client/test_driver.py shows it.
pymongo._csot._MIN_RTT_SAMPLES = pymongo._csot._MAX_RTT_SAMPLES + 1


def _shorten(record: logging.LogRecord) -> bool:
    """Log an error of the driver's background task as one line: a server is away, which the service reports."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, PyMongoError) and is_transient(error):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "the driver's background task failed: %s", (type(error).__name__,)
        record.exc_info = None
    return True


logging.getLogger("pymongo.client").addFilter(_shorten)


async def maybe_await(value: Any) -> Any:
    """The value itself, awaited if the driver made it awaitable."""
    return await value if inspect.isawaitable(value) else value


def is_transient(error: PyMongoError) -> bool:
    """Whether the same operation may succeed later: the network, an election, a timeout."""
    if error.timeout or isinstance(error, ConnectionFailure | ExecutionTimeout | WTimeoutError):
        return True
    if error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
        return True
    return getattr(error, "code", None) in TRANSIENT_CODES


def race_pause(lost: int) -> float:
    """Seconds until a write that lost a race is retried: longer each time, with jitter."""
    return jittered(backoff(lost + 1, FIRST_PAUSE, LONGEST_PAUSE))


def drop_tracebacks(error: BaseException | None) -> None:
    """Drop the tracebacks of a handled error and of its causes.

    The driver stores a command's last error in a frame that the error refers to. Only the garbage collector frees such
    a cycle, with all documents of the command.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


class CommandMetrics(CommandListener):
    """Forwards the driver's events. Motor calls it in its own threads."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe

    def started(self, event: CommandStartedEvent) -> None:
        """Not recorded: the end of the command has its duration."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name not in WAITING:
            self._observe(event.command_name, event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent) -> None:
        self._observe(event.command_name, None)
