"""What PyMongo's Async API and Motor share, and the little in which they differ.

PyMongo Async is the default; Motor, past its end of life, stays as the extra `[motor]`. Where PyMongo returns an
awaitable and Motor a plain value (`aggregate`, `watch`, `close`, `start_session`), `maybe_await` takes both.
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
    """What the service does instead of a URI option. `same`: values of the option that change nothing."""

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
"""URI options that the driver never gets, by name in lower case: with them a score could be lost, be counted twice or
be read from a member that lags; or the change stream would end, or what another program wrote could not be read."""

_UNSAFE_TLS = Override(("false",), "whoever is on the network path can read and change the scores")
REPORTED = dict.fromkeys(("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames"), _UNSAFE_TLS)
"""URI options that are used as given, with what follows from them."""


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
        "datetime_conversion": "DATETIME_CLAMP",  # a date past the year 9999 must not end whoever reads it
        "unicode_decode_error_handler": "replace",  # nor text that is not UTF-8, which MongoDB stores unseen
    }
    if all(name.lower() != "appname" for name, _ in given):
        options["appname"] = "leaderboard"
    if observe is not None:
        options["event_listeners"] = [CommandMetrics(observe)]
    kept = "&".join(f"{name}={value}" for name, value in given if name.lower() not in OVERRIDDEN)
    client = _client_class(driver)(f"{address}?{kept}" if kept else address, **options)
    for name, value in given:  # only now: of a URI that cannot be read, a value may be a piece of the password
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
    """The URI without its options, and these.

    Raises what PyMongo raises for an option that it cannot use; warns of one that it does not know.
    """
    address, _, query = uri.partition("?")
    if not query:
        return address, []
    try:
        split_options(query, warn=True)
    except KeyError as error:  # PyMongo's own, for a datetime_conversion
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
    """`asyncio.wait_for` as it is from Python 3.12 on: in the caller's own task."""
    async with asyncio.timeout(timeout):
        return await awaitable


if sys.version_info < (3, 12):
    # Before, `wait_for` runs what it waits for in a task of its own. When a wait for a server or a connection is
    # cancelled in a moment in which that task takes the driver's lock back, nobody gives the lock up again, and every
    # later operation of the client hangs for ever. tests/mongo/test_driver.py shows it.
    pymongo.lock.wait_for = _wait_for  # type: ignore[attr-defined, assignment]


async def maybe_await(value: Any) -> Any:
    """The value itself, awaited where the driver made it awaitable."""
    return await value if inspect.isawaitable(value) else value


def is_transient(error: PyMongoError) -> bool:
    """Whether the same operation may succeed in a moment: the network, an election, a timeout."""
    if error.timeout or isinstance(error, ConnectionFailure | ExecutionTimeout | WTimeoutError):
        return True
    if error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
        return True
    return getattr(error, "code", None) in _TRANSIENT_CODES


def race_pause(lost: int) -> float:
    """Seconds until a write is tried again before which other writes came: longer each time, with jitter."""
    return jittered(backoff(lost + 1, FIRST_PAUSE, LONGEST_PAUSE))


def drop_tracebacks(error: BaseException | None) -> None:
    """Forget where an error that was dealt with came from.

    The driver keeps a command's last error beside the frames that it leads to, and only the collector frees such a
    circle, with all that was to be written.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__
