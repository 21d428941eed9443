"""Which installation owns a database: one document, written by the first service that uses the database.

    leaderboard_metadata: {_id: "owner", uid, namespace, name, handed_over: [uid, ...]}

`namespace` and `name` identify the owner, `uid` its current incarnation: an installation that is created again under
the same name takes its database back, and `uid` becomes the new one. A drop needs the very `uid`. `handed_over` lists
the uids that the database was taken over from. They never take it over again: two installations that name each other as
the previous owner would otherwise swap the database at each start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pymongo
from pymongo.errors import DuplicateKeyError, PyMongoError

from tornado_app.core.errors import StartupError
from tornado_app.core.model import Owner
from tornado_app.mongo.client import preflight
from tornado_app.mongo.client.driver import DURABLE, Client, Document
from tornado_app.mongo.ledger.lease import LEASES
from tornado_app.mongo.ledger.reader import LEDGER
from tornado_app.mongo.periods.plan import PERIODS
from tornado_app.mongo.periods.results import epoch_of
from tornado_app.mongo.players.documents import board_of
from tornado_app.mongo.players.suspects import SUSPECTS

METADATA = "leaderboard_metadata"

COLLECTIONS = (LEDGER, SUSPECTS, LEASES, PERIODS)
"""The collections of the service, without those of the boards, of results and of the owner. A test compares them with
those of a running service."""

TIMEOUT = 10.0
"""Timeout of reading or writing the owner, in seconds."""

DROP_TIMEOUT = 60.0
"""Timeout of dropping the collections, in seconds."""

_OWNER = {"_id": "owner"}


class ForeignDatabase(StartupError):
    """The database belongs to another installation, or to none although it contains data."""


async def claim(
    client: Client, database: str, owner: Owner, *, previous: str | None = None, seconds: float = TIMEOUT
) -> None:
    """Record `owner` as the owner of the database, atomically. `previous`, `namespace/name`, may be the owner so far.

    `seconds` bounds all of it, as in the functions below.

    Raises ForeignDatabase where another installation is the owner, StartupError where the database does not answer.
    """
    wanted = {**_OWNER, "namespace": owner.namespace, "name": owner.name}
    async with _answered(database, seconds):
        for _ in range(2):  # of two first starts at once, one finds the document of the other, which is the same
            try:
                await _metadata(client, database).update_one(wanted, {"$set": owner._asdict()}, upsert=True)
            except DuplicateKeyError:
                if previous is None or not await _take_over(client, database, owner, previous):
                    continue
            return
        raise _foreign(database, await _read(client, database), owner)


async def _take_over(client: Client, database: str, owner: Owner, previous: str) -> bool:
    """Make `owner` the owner if `previous` is; whether it was done. Raises ForeignDatabase if `owner` was it before."""
    recorded = await _read(client, database)
    if recorded is None or str(recorded) != previous:
        return False
    unchanged = {**_OWNER, **recorded._asdict(), "handed_over": {"$ne": owner.uid}}
    change = {"$set": owner._asdict(), "$addToSet": {"handed_over": recorded.uid}}
    metadata = _metadata(client, database)
    if (await metadata.update_one(unchanged, change)).matched_count:
        return True
    if await metadata.find_one({**_OWNER, "handed_over": owner.uid}):
        raise ForeignDatabase(
            f"database {database!r} belongs to {recorded}, and not to {owner}, which it was taken over from. Use "
            f"another database, or delete {owner} and create it again to take this one back"
        )
    return False


async def read(client: Client, database: str, *, seconds: float = TIMEOUT) -> Owner | None:
    """The owner of the database. Raises StartupError if the database does not answer."""
    async with _answered(database, seconds):
        return await _read(client, database)


async def release(client: Client, database: str, owner: Owner, *, seconds: float = TIMEOUT) -> bool:
    """Remove the record of `owner`; whether there was one. Raises as `claim`."""
    async with _answered(database, seconds):
        recorded = await _read(client, database)
        if recorded is None:
            return False
        if recorded[:2] != owner[:2]:
            raise _foreign(database, recorded, owner)
        await _metadata(client, database).delete_one({**_OWNER, **recorded._asdict()})
        return True


async def drop(client: Client, database: str, owner: Owner, *, seconds: float = DROP_TIMEOUT) -> list[str]:
    """Drop the service's collections, and the database with its last collection; the other collections that stay.

    The owner goes last, so that a drop that is cut off can be repeated. A database without any of the collections is
    dropped already. Raises ForeignDatabase unless `owner` is the owner with this uid, StartupError as `claim`.
    """
    async with _answered(database, seconds):
        recorded = await _read(client, database)
        there = await client[database].list_collection_names()
        own = [
            name for name in there if name in COLLECTIONS or board_of(name) is not None or epoch_of(name) is not None
        ]
        if recorded is None and not own:
            return sorted(there)
        if recorded != owner:
            raise _foreign(database, recorded, owner)
        for collection in (*own, METADATA):
            await client[database].drop_collection(collection)
        return sorted({*there} - {*own, METADATA})


@asynccontextmanager
async def _answered(database: str, seconds: float) -> AsyncIterator[None]:
    """Bounds the enclosed operations. Raises StartupError if the database does not answer, or refuses."""
    try:
        with pymongo.timeout(seconds):
            yield
    except PyMongoError as error:
        raise StartupError(preflight.explain(error, database)) from error


def _metadata(client: Client, database: str) -> Any:
    return client[database].get_collection(METADATA, write_concern=DURABLE)


async def _read(client: Client, database: str) -> Owner | None:
    recorded: Document | None = await _metadata(client, database).find_one(_OWNER)
    return None if recorded is None else Owner(*(str(recorded.get(field, "")) for field in Owner._fields))


def _foreign(database: str, recorded: Owner | None, wanted: Owner) -> ForeignDatabase:
    if recorded is None:
        return ForeignDatabase(
            f"database {database!r} belongs to no installation, although it holds data: a service that starts with "
            "database_owner makes it that owner's"
        )
    if recorded[:2] == wanted[:2]:
        return ForeignDatabase(
            f"database {database!r} belongs to {recorded} of uid {recorded.uid}, and not {wanted.uid}"
        )
    return ForeignDatabase(
        f"database {database!r} belongs to {recorded}, and not to {wanted}. Use another database, or take this one "
        f"over once {recorded} is gone, with database_previous_owner"
    )
