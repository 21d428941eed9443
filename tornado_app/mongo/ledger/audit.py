"""Players and ledger as an audit reads them: in the same order, and in pages of bounded size.

The ledger that the settings name is that of a running service, or of an embedded database at rest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pymongo
from bson import MinKey, Timestamp
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from tornado_app.core.abuse import Suspect
from tornado_app.core.errors import StartupError
from tornado_app.core.history import WriteKind
from tornado_app.core.ledger import Entry, PlayerBalance
from tornado_app.mongo.client import preflight
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.client.driver import Client, DriverName, maybe_await
from tornado_app.mongo.client.errors import next_page
from tornado_app.mongo.embedded.data_dir import DataDirectory, DirectoryInUse
from tornado_app.mongo.embedded.supervisor import EmbeddedMongod
from tornado_app.mongo.ledger.appender import INDEX
from tornado_app.mongo.ledger.lease import LEASES
from tornado_app.mongo.ledger.reader import LEDGER, TOLERANT, entry
from tornado_app.mongo.ledger.writer import LedgerWriter
from tornado_app.mongo.players.documents import BALANCE_FIELDS, Document, balance_of, last_entry
from tornado_app.mongo.players.suspects import Suspects
from tornado_app.runtime.tasks import cancel_and_wait

PAGE = 1000
"""Players read at once."""

TIMEOUT = 20.0
"""Timeout of one query, or of one page of it, in seconds."""

MAX_UNKNOWN_DOCUMENTS = 10_000
"""Maximum number of documents that are not players' and are counted."""


class LedgerScan:
    """Reads one board for an audit. All methods raise PyMongoError."""

    def __init__(self, database: Any, *, collection: str = LEDGER, players: str = "players", page: int = PAGE) -> None:
        self._page_size = page
        self._database = database
        options = {"read_concern": ReadConcern("majority"), "codec_options": TOLERANT}
        self._entries = database.get_collection(collection, **options)
        self._players = database.get_collection(players, **options)
        self._leases = database.get_collection(LEASES, **options)
        self._lease = collection
        self._suspects = Suspects(database)

    async def sizes(self) -> tuple[int, int]:
        """Approximate numbers of players and entries."""
        with pymongo.timeout(TIMEOUT):
            return await self._players.estimated_document_count(), await self._entries.estimated_document_count()

    async def exists(self) -> bool:
        """Whether the ledger exists."""
        return bool((await self._state()).get("initialised"))

    async def watermark(self) -> int:
        """The version up to which everything is recorded; −1 if nothing ever was."""
        moment = (await self._state()).get("watermark")
        return cluster_time_to_int(moment) if isinstance(moment, Timestamp) else -1

    async def _state(self) -> Document:
        with pymongo.timeout(TIMEOUT):
            return await self._leases.find_one({"_id": self._lease}) or {}

    async def moment(self) -> int:
        """The database's time now, as a version."""
        with pymongo.timeout(TIMEOUT):
            return cluster_time_to_int((await self._database.command("ping"))["operationTime"])

    async def accounts(self, after: str) -> Sequence[PlayerBalance]:
        """A page of players, from the one after `after` on; empty at the end."""
        with pymongo.timeout(TIMEOUT):
            found = self._players.find({"_id": {"$gt": after}}, BALANCE_FIELDS).sort("_id", 1).limit(self._page_size)
            return [_account(document) for document in await found.to_list(None)]

    async def account(self, player: str) -> PlayerBalance | None:
        """One player, as it is now."""
        with pymongo.timeout(TIMEOUT):
            document = await self._players.find_one({"_id": player}, BALANCE_FIELDS)
        return None if document is None else _account(document)

    def lines(self, after: str, last: str | None) -> AsyncIterator[tuple[str, Any, Entry | None]]:
        """The entries of the players after `after` up to `last`; None is no bound."""
        return self._lines({"$gt": after} if last is None else {"$gt": after, "$lte": last})

    def lines_of(self, player: str) -> AsyncIterator[tuple[str, Any, Entry | None]]:
        return self._lines({"$eq": player})

    async def _lines(self, players: Document) -> AsyncIterator[tuple[str, Any, Entry | None]]:
        cursor = self._entries.find({"player": players}).sort(INDEX).batch_size(self._page_size)
        try:
            documents: list[Document] = [{}]
            while documents:
                documents = await next_page(cursor, self._page_size, TIMEOUT)
                for document in documents:
                    yield document["player"], document.get("n"), _entry(document)
        finally:
            await maybe_await(cursor.close())

    async def suspects(self, since: int) -> AsyncIterator[Suspect]:
        """Players who broke an abuse rule at or after `since` (ms)."""
        with pymongo.timeout(TIMEOUT):
            async for suspect in self._suspects.since(since):
                yield suspect

    async def unknown_documents(self) -> Sequence[str]:
        """The documents in both collections that cannot be a player's, in words."""
        with pymongo.timeout(TIMEOUT):
            players = await self._players.count_documents({"_id": ""})
            players += await _no_text(self._players, [("_id", 1)])
            entries = await _no_text(self._entries, INDEX)
            if await self._has_arrays():
                entries += await self._entries.count_documents({"player": {"$type": "array", "$ne": []}})
        found = ((players, "players", "whose _id is no user id"), (entries, self._lease, "that belong to no player"))
        return [f"{count} documents in collection {name} {what}" for count, name, what in found if count]

    async def _has_arrays(self) -> bool:
        """Whether an entry ever had an array as its player. The index records that; otherwise all entries would be
        read."""
        find = {"find": self._lease, "hint": dict(INDEX), "limit": 1}
        plan = await self._database.command({"explain": find, "verbosity": "queryPlanner"})
        return "'isMultiKey': True" in str(plan["queryPlanner"]["winningPlan"])


async def _no_text(collection: Any, index: list[tuple[str, int]]) -> int:
    """Number of documents without text in the first field of an index, by that index: reading all would take too long.

    In the order of an index all text comes after the empty text, and before the empty document. Source: MongoDB manual,
    "Comparison/Sort Order".
    """
    (field, _), *others = index
    least = [(name, MinKey()) for name, _ in others]
    before = collection.find({}, {"_id": 1}).hint(index).max([(field, ""), *least]).limit(MAX_UNKNOWN_DOCUMENTS)
    behind = collection.find({}, {"_id": 1}).hint(index).min([(field, {}), *least]).limit(MAX_UNKNOWN_DOCUMENTS)
    return len(await before.to_list(None)) + len(await behind.to_list(None))


def _account(document: Document) -> PlayerBalance:
    last = last_entry(document)
    erased = last is not None and last.kind == WriteKind.ERASE
    return PlayerBalance(document["_id"], balance_of(document), None if last is None else last.write_id, erased)


def _entry(document: Document) -> Entry | None:
    try:
        return entry(document)
    except (KeyError, TypeError, ValueError):
        return None


@asynccontextmanager
async def open_ledger(
    uri: str | None,
    name: str,
    *,
    data_dir: Path,
    driver: DriverName = "pymongo",
    page: int = PAGE,
    timeout: float = 5.0,  # noqa: ASYNC109  # the driver's own bound
) -> AsyncIterator[LedgerScan]:
    """Database `name` as an audit reads it; `uri` None is the embedded one in `data_dir`, running or not.

    If no service runs on `data_dir`, this records the events that the last service had not recorded. Raises
    StartupError, also for errors of the enclosed block.
    """
    async with contextlib.AsyncExitStack() as stack:
        alone, embedded = False, uri is None
        if uri is None:
            uri, alone = await _embedded(data_dir, stack)
        client = preflight.open_client(uri, driver, timeout)
        stack.push_async_callback(_close, client)
        try:
            await preflight.check(client, name, embedded=embedded)
            if alone:
                await stack.enter_async_context(_writing(client, name))
            scan = LedgerScan(client[name], page=page)
            if not await scan.exists():
                raise StartupError(
                    f"database {name!r} has no ledger yet: it begins with the first start of the service"
                )
            yield scan
        except PyMongoError as error:
            raise StartupError(preflight.explain(error, name)) from error


async def _embedded(data_dir: Path, stack: contextlib.AsyncExitStack) -> tuple[str, bool]:
    """The URI of the database in the folder, and whether it was started here."""
    folder = DataDirectory(data_dir)
    if not folder.database.is_dir():
        raise StartupError(
            f"there is no database in {data_dir}: name its folder with --data-dir, or --mongodb-uri-file"
        )
    mongod = EmbeddedMongod(data_dir)
    try:
        uri = await mongod.start()
    except DirectoryInUse as used:
        try:
            return folder.uri_file.read_text(encoding="ascii"), False
        except OSError:
            raise used from None
    stack.push_async_callback(mongod.stop)
    return uri, True


@asynccontextmanager
async def _writing(client: Client, name: str) -> AsyncIterator[None]:
    writer = LedgerWriter(client, name)
    task = asyncio.ensure_future(writer.run())
    try:
        await writer.caught_up()
        yield
    finally:
        await writer.close()
        await cancel_and_wait(task)


async def _close(client: Client) -> None:
    await maybe_await(client.close())
