"""Checks at start whether a MongoDB suits the service; an error names the problem and the remedy in one sentence."""

from __future__ import annotations

import logging
import re
import warnings
from datetime import UTC, date, datetime
from typing import Any

import pymongo
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from tornado_app.core.errors import StartupError
from tornado_app.mongo.client.driver import Client, Document, DriverName, Observe, connect, maybe_await

log = logging.getLogger("leaderboard.database")

MIN_VERSION = (6, 0)

END_OF_LIFE = {
    (6, 0): date(2025, 7, 31),
    (6, 1): date(2023, 2, 9),
    (6, 2): date(2023, 4, 24),
    (6, 3): date(2023, 8, 31),
    (7, 0): date(2027, 8, 31),
    (7, 1): date(2024, 1, 23),
    (7, 2): date(2024, 3, 27),
    (7, 3): date(2024, 10, 31),
    (8, 0): date(2029, 10, 31),
    (8, 1): date(2025, 9, 30),
    (8, 2): date(2026, 7, 31),
}
"""The last day with fixes of a release. Sources: mongodb.com/legal/support-policy/lifecycles, and for rapid releases
endoflife.date/mongodb; as of May 2026."""

TIMEOUT = 10.0
"""Seconds for all checks: long enough for an election, short enough to report a wrong address soon."""

_BAD_CREDENTIALS = frozenset({18, 8000})
_UNAUTHORIZED = 13

_STANDALONE = (
    "this mongod is a standalone server, which has no change streams. Make it a one-member replica set: start it with "
    "--replSet rs0 and run rs.initiate() once in mongosh"
)
_NOT_INITIATED = (
    "this mongod was started with --replSet, but its replica set is not initiated: run rs.initiate() once in mongosh"
)
_SECONDARY = (
    "mongodb_uri leads to a secondary, which takes no writes: name the members of the set in it, and replicaSet, and "
    "leave out directConnection"
)
_REMEDIES = {
    "CERTIFICATE_VERIFY_FAILED": "Name its authority's certificate with tlsCAFile=, and the host that its own is for",
    "SSL handshake failed": "It may not speak TLS there: if so, leave out tls=true, or with mongodb+srv add tls=false",
    "ProtocolError": "The server at this address is not a MongoDB: check the port",
    "connection (is already )?closed|[Cc]onnection reset": "It may require TLS: then add tls=true. Or it is no MongoDB",
    "No replica set members available": "None of the hosts is a member of the set that replicaSet= names: check the "
    "name; a standalone server becomes a set with --replSet rs0 and rs.initiate()",
    "RSSecondary": "The replica set has no primary: a majority of its members must run and reach each other",
    "": "Check the host, the port, replicaSet, TLS, and that MongoDB runs",
}
"""Remedies by a part of the driver's message; the first match counts."""

_ESCAPING = "in a user name or password write @ as %40, : as %3A, / as %2F and % as %25"
_EXAMPLE = "It looks like mongodb://user:password@host:27017/?replicaSet=name"


def redact(text: str) -> str:
    """The text with user and password of a MongoDB URI hidden: everything before its last @."""
    return re.sub(r"(mongodb(?:\+srv)?://)\S*@", r"\1***@", text)


def open_client(uri: str, driver: DriverName, seconds: float, observe: Observe | None = None) -> Client:
    """A client for `uri`, not connected yet. Raises StartupError for an unusable URI.

    Unknown options and wrong values are errors too: the driver would ignore a mistyped `tls` or `replicaSet`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return connect(uri, driver, timeout=seconds, observe=observe)
    except (PyMongoError, UserWarning, ValueError, TypeError, OSError) as error:
        raise StartupError(f"mongodb_uri cannot be used: {_reason(error, uri)}. {_EXAMPLE}") from None


def _reason(error: Exception, uri: str) -> str:
    """The driver's message, unless it repeats a part of a possible password."""
    credentials, at, _ = uri.partition("://")[2].rpartition("@")
    text = str(error).partition(" or maybe a camelCase")[0].rstrip(".")
    if at and any(piece in text for piece in re.split(r"[:/?&=@,]", credentials) if piece):
        return _ESCAPING
    return text


async def check(
    client: Client, database: str, *, embedded: bool = False, seconds: float = TIMEOUT, today: date | None = None
) -> None:
    """Raises StartupError unless the server answers, accepts the user, has change streams, and is new enough.

    Warns of risky configurations. `embedded`: the service's own server, whose version the user did not choose.
    """
    players = client[database]["players"]
    try:
        with pymongo.timeout(seconds):
            hello = await client.admin.command("hello")
            build = await client.admin.command("buildInfo")
            _fit(hello, build)
            await players.find_one({}, {"_id": 1})
            await players.update_one({"_id": ""}, {"$set": {"score": 0}})  # an id of no player: only checks the right
            await _watch(players)
    except PyMongoError as error:
        raise StartupError(explain(error, database)) from error
    if not embedded:
        _warn_of_age(build, today or datetime.now(UTC).date())
    if client.options.direct_connection and len(hello.get("hosts", ())) > 1:
        log.warning(
            "mongodb_uri: directConnection=true: the service does not follow a failover to another of %d members, "
            "until it is left out and all members are named",
            len(hello["hosts"]),
        )


def _warn_of_age(build: Document, today: date) -> None:
    ended = END_OF_LIFE.get(tuple(build["versionArray"][:2]))
    if ended is not None and today > ended:
        log.warning(
            "MongoDB %s has had no security fixes since its end of life on %s: upgrade to a supported release "
            "(docs/security.md)",
            build["version"],
            ended.isoformat(),
        )


def _fit(hello: Document, build: Document) -> None:
    if tuple(build["versionArray"][:2]) < MIN_VERSION:
        raise StartupError(f"MongoDB {build['version']} is too old: version 6.0 or newer is needed")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise StartupError(_STANDALONE)
    if hello.get("secondary"):
        raise StartupError(_SECONDARY)


async def _watch(players: Any) -> None:
    """Check the right to watch the collection: the role readWrite has it, a custom role may not."""
    stream = await maybe_await(players.watch([], max_await_time_ms=1))
    try:
        await stream.try_next()  # Motor contacts the server only now
    finally:
        await maybe_await(stream.close())


def explain(error: PyMongoError, database: str) -> str:
    """A driver's error at start as one sentence for an operator, without secrets."""
    if isinstance(error, ConnectionFailure):
        return _unreachable(error)
    if not isinstance(error, OperationFailure):
        return f"MongoDB cannot be used: {redact(str(error))}"
    if error.code in _BAD_CREDENTIALS:
        return "MongoDB refuses the user or password of mongodb_uri; check them, and authSource"
    if error.code == _UNAUTHORIZED:
        if "requires authentication" in str(error):
            return "MongoDB asks for a user and a password, and mongodb_uri has none"
        return f"the MongoDB user may not use database {database!r}; grant it the role readWrite there"
    return f"MongoDB refuses the operation: {redact(str(error))}"


def _unreachable(error: ConnectionFailure) -> str:
    full = redact(str(error))
    if "RSGhost" in full:
        return _NOT_INITIATED
    text = re.sub(r"\s*\(configured timeouts.*?\)|, Timeout: .*$", "", full, flags=re.DOTALL)
    remedy = next(remedy for sign, remedy in _REMEDIES.items() if re.search(sign, full))
    return f"MongoDB cannot be reached: {text.strip().rstrip(':')}. {remedy}"
