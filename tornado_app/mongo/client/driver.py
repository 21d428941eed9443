"""The common interface of PyMongo Async and Motor, and their few differences.

PyMongo Async is the default; Motor, past its end of life, stays as the extra `[motor]`. Where PyMongo returns an
awaitable and Motor a value (`aggregate`, `watch`, `close`, `start_session`), `maybe_await` accepts both.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import sys
from collections.abc import Awaitable
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import pymongo.lock
from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError, WTimeoutError
from pymongo.uri_parser import split_options
from pymongo.write_concern import WriteConcern

from tornado_app.core.errors import StartupError
from tornado_app.mongo.client.command_metrics import CommandMetrics, Observe
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
"""Seconds, before jitter, until a write that lost a race is tried again; doubled each time."""

_TRANSIENT_CODES = frozenset({6, 7, 64, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Retryable by the drivers' specification, plus 64 WriteConcernFailed (the write may yet be lost)."""


class Override(NamedTuple):
    """The service's behavior instead of a URI option. `same`: values of the option that agree with it."""

    same: tuple[str, ...]
    instead: str


_READS = "every read goes to the primary, at read concern majority"
_WRITES = "a majority of the members acknowledges and journals every write"
_REPEATED = "the driver repeats an operation that a failover interrupted"
_BOUNDED = "the setting mongodb_timeout bounds every operation"
_DECODED = "the service decodes every document in the same way"

OVERRIDDEN = {
    "readpreference": Override(("primary",), _READS),
    "readpreferencetags": Override((), _READS),
    "maxstalenessseconds": Override(("-1",), _READS),
    "readconcernlevel": Override(("majority",), _READS),
    "w": Override(("majority",), _WRITES),
    "journal": Override(("true",), _WRITES),
    "fsync": Override((), _WRITES),
    "wtimeoutms": Override((), _BOUNDED),
    "retrywrites": Override(("true",), _REPEATED),
    "retryreads": Override(("true",), _REPEATED),
    "timeoutms": Override((), _BOUNDED),
    "sockettimeoutms": Override((), _BOUNDED),
    "waitqueuetimeoutms": Override((), _BOUNDED),
    "connecttimeoutms": Override((), _BOUNDED),
    "serverselectiontimeoutms": Override((), _BOUNDED),
    "tz_aware": Override(("true",), _DECODED),
    "datetime_conversion": Override((), _DECODED),
    "unicode_decode_error_handler": Override((), _DECODED),
    "uuidrepresentation": Override(("unspecified",), _DECODED),
}
"""URI options that are not passed to the driver, by name in lower case. With them, a score could be lost, count twice
or be read from a member that lags, the change stream could end, or documents of other programs could be unreadable."""

_UNSAFE_TLS = Override(("false",), "an attacker on the network path can read and change the scores")
REPORTED = dict.fromkeys(("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames"), _UNSAFE_TLS)
"""URI options that are used as given, with their risk."""


def connect(
    uri: str, driver: DriverName = "pymongo", *, timeout: float = 5.0, observe: Observe | None = None
) -> Client:
    """A client for `uri`; it connects on first use and gives up on finding a server after `timeout` seconds.
    `observe` is told of each command.

    A URI option in `OVERRIDDEN` is checked, logged and left out. A Motor client is returned under the same type: the
    two are used alike here. Raises StartupError where the extra `[motor]` is not installed; an unusable URI raises what
    PyMongo raises.
    """
    address, given = _split(uri)
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
        _report(name, value)
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


def _split(uri: str) -> tuple[str, list[tuple[str, str]]]:
    """The URI without its options, and the options.

    Raises PyMongo's error for a wrong value; warns of an unknown option.
    """
    address, _, query = uri.partition("?")
    if not query:
        return address, []
    try:
        split_options(query, warn=True)
    except KeyError as error:  # PyMongo's error for a datetime_conversion
        raise ValueError(f"an option has the value {error}, which the driver does not know") from None
    pairs = (option.partition("=") for option in re.split("[&;]", query))
    return address, [(name, value) for name, _, value in pairs]


def _report(name: str, value: str) -> None:
    overridden, reported = OVERRIDDEN.get(name.lower()), REPORTED.get(name.lower())
    if overridden is not None and value.lower() not in overridden.same:
        log.warning("mongodb_uri: %s=%s is not used: %s", name, value, overridden.instead)
    if reported is not None and value.lower() not in reported.same:
        log.warning("mongodb_uri: %s=%s: %s", name, value, reported.instead)


async def _wait_for(awaitable: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109  # asyncio's own signature
    """`asyncio.wait_for` as of Python 3.12: it awaits in the caller's own task."""
    async with asyncio.timeout(timeout):
        return await awaitable


if sys.version_info < (3, 12):
    # Before 3.12, `wait_for` awaits in a task of its own. If a wait for a server or a connection is cancelled while
    # that task acquires the driver's lock, the lock is never released, and every later operation of the client hangs.
    # tests/mongo/test_driver.py shows it.
    pymongo.lock.wait_for = _wait_for  # type: ignore[attr-defined, assignment]


async def maybe_await(value: Any) -> Any:
    """The value itself, awaited if the driver made it awaitable."""
    return await value if inspect.isawaitable(value) else value


def is_transient(error: PyMongoError) -> bool:
    """Whether the same operation may succeed later: the network, an election, a timeout."""
    if error.timeout or isinstance(error, ConnectionFailure | ExecutionTimeout | WTimeoutError):
        return True
    if error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
        return True
    return getattr(error, "code", None) in _TRANSIENT_CODES


def race_pause(lost: int) -> float:
    """Seconds until a write that lost a race is tried again: longer each time, with jitter."""
    return jittered(backoff(lost + 1, FIRST_PAUSE, LONGEST_PAUSE))


def drop_tracebacks(error: BaseException | None) -> None:
    """Drop the tracebacks of a handled error and of its causes.

    The driver stores a command's last error in a frame that the error refers to. Only the garbage collector frees such
    a cycle, with all documents of the command.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__
