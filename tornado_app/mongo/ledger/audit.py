"""Players and ledger as an audit reads them: in the same order, and in pages of bounded size.

The ledger that the settings name is that of a running service, or of an embedded database at rest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pymongo
from bson import MinKey, Timestamp
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from tornado_app.core.abuse import Suspect
from tornado_app.core.boards import MAIN
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
from tornado_app.mongo.ledger.reader import LEDGER, TOLERANT, boards_with_data, chain_id, chains_between, entry
from tornado_app.mongo.ledger.writer import LedgerWriter
from tornado_app.mongo.players.documents import BALANCE_FIELDS, Document, balance_of, collection_of, last_entry
from tornado_app.mongo.players.suspects import Suspects
from tornado_app.runtime.tasks import cancel_and_wait

PAGE = 1000
"""Players read at once."""

_OPTIONS: dict[str, Any] = {"read_concern": ReadConcern("majority"), "codec_options": TOLERANT}

_PLAYED: Document = {"$or": [{name: {"$exists": True}} for name in ("score", "seq", "h")]}
"""Not those of players whose first write on a board is under way, or was refused (mongo/players/records.py)."""

_FIELDS = BALANCE_FIELDS | {"hidden": 1}

TIMEOUT = 20.0
"""Timeout of one query, or of one page of it, in seconds."""

MAX_UNKNOWN_DOCUMENTS = 10_000
"""Maximum number of documents that are not players' and are counted."""


class LedgerScan:
    """Reads the boards and their ledger for an audit. All methods raise PyMongoError."""

    def __init__(self, database: Any, *, collection: str = LEDGER, page: int = PAGE) -> None:
        self._page_size = page
        self.database = database
        self._entries = database.get_collection(collection, **_OPTIONS)
        self._leases = database.get_collection(LEASES, **_OPTIONS)
        self._lease = collection
        self._suspects = Suspects(database)

    async def boards(self) -> Sequence[str]:
        """The boards with players or entries, `main` first."""
        with pymongo.timeout(TIMEOUT):
            return await boards_with_data(self.database, self._entries)

    async def sizes(self, boards: Iterable[str]) -> tuple[int, int]:
        """Approximate numbers of players on these boards, and of entries on all."""
        players = 0
        for board in boards:
            with pymongo.timeout(TIMEOUT):
                players += await self._players(board).estimated_document_count()
        with pymongo.timeout(TIMEOUT):
            return players, await self._entries.estimated_document_count()

    def _players(self, board: str) -> Any:
        return self.database.get_collection(collection_of(board), **_OPTIONS)

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
            return cluster_time_to_int((await self.database.command("ping"))["operationTime"])

    async def accounts(self, board: str, after: str) -> Sequence[PlayerBalance]:
        """A page of a board's players, from the one after `after` on; empty at the end."""
        with pymongo.timeout(TIMEOUT):
            found = self._players(board).find({"_id": {"$gt": after}, **_PLAYED}, _FIELDS)
            found = found.sort("_id", 1).limit(self._page_size)
            return [_account(document) for document in await found.to_list(None)]

    async def account(self, board: str, player: str) -> PlayerBalance | None:
        """One player, as it is now."""
        with pymongo.timeout(TIMEOUT):
            document = await self._players(board).find_one({"_id": player, **_PLAYED}, _FIELDS)
        return None if document is None else _account(document)

    def lines(self, board: str, after: str, last: str | None) -> AsyncIterator[tuple[str, Any, Entry | None]]:
        """The entries of a board's players after `after` up to `last`; None is no bound."""
        return self._lines(chains_between(board, after, last))

    def lines_of(self, board: str, player: str) -> AsyncIterator[tuple[str, Any, Entry | None]]:
        return self._lines({"$eq": chain_id(board, player)})

    async def _lines(self, players: Document) -> AsyncIterator[tuple[str, Any, Entry | None]]:
        cursor = self._entries.find({"player": players}).sort(INDEX).batch_size(self._page_size)
        try:
            documents: list[Document] = [{}]
            while documents:
                documents = await next_page(cursor, self._page_size, TIMEOUT)
                for document in documents:
                    player = document["player"]
                    yield (
                        str(player.get("id") if isinstance(player, dict) else player),
                        document.get("n"),
                        _entry(document),
                    )
        finally:
            await maybe_await(cursor.close())

    async def suspects(self, since: int) -> AsyncIterator[Suspect]:
        """Players who broke an abuse rule at or after `since` (ms)."""
        with pymongo.timeout(TIMEOUT):
            async for suspect in self._suspects.since(since):
                yield suspect

    async def unknown_documents(self) -> Sequence[str]:
        """The documents in the collections of the boards and of the ledger that cannot be a player's, in words."""
        boards = await self.boards()
        found = []
        for board in boards:
            players = self._players(board)
            with pymongo.timeout(TIMEOUT):
                count = await players.count_documents({"_id": ""})
                count += await _outside(players, [("_id", 1)], _TEXTS)
            found.append((count, players.name, "whose _id is no user id"))
        others = [board for board in boards if board != MAIN.name]
        chains = [*_TEXTS, *((chain_id(board, ""), {"board": board, "id": {}}) for board in others)]
        with pymongo.timeout(TIMEOUT):
            entries = await _outside(self._entries, INDEX, chains)
            if await self._has_arrays():
                entries += await self._entries.count_documents({"player": {"$type": "array", "$ne": []}})
        found.append((entries, self._lease, "that belong to no player"))
        return [f"{count} documents in collection {name} {what}" for count, name, what in found if count]

    async def _has_arrays(self) -> bool:
        """Whether an entry ever had an array as its player. The index records that; otherwise all entries would be
        read."""
        find = {"find": self._lease, "hint": dict(INDEX), "limit": 1}
        plan = await self.database.command({"explain": find, "verbosity": "queryPlanner"})
        return "'isMultiKey': True" in str(plan["queryPlanner"]["winningPlan"])


_TEXTS: Sequence[tuple[Any, Any]] = (("", {}),)
"""All texts: in the order of an index they come after the empty text, and before the empty document. Source: MongoDB
manual, "Comparison/Sort Order"."""


async def _outside(collection: Any, index: list[tuple[str, int]], ranges: Sequence[tuple[Any, Any]]) -> int:
    """Number of documents whose first field of an index is in none of these ranges, which are in order.

    By the index: reading all documents would take too long. The end of a range is not part of it.
    """
    (field, _), *others = index
    least = [(name, MinKey()) for name, _ in others]
    count = 0
    ends = [None, *(end for _, end in ranges)]
    for start, stop in zip(ends, [*(start for start, _ in ranges), None], strict=True):
        gap = collection.find({}, {"_id": 1}).hint(index).limit(MAX_UNKNOWN_DOCUMENTS)
        gap = gap if start is None else gap.min([(field, start), *least])
        gap = gap if stop is None else gap.max([(field, stop), *least])
        count += len(await gap.to_list(None))
    return count


def _account(document: Document) -> PlayerBalance:
    last = last_entry(document)
    erased = last is not None and last.kind == WriteKind.ERASE
    return PlayerBalance(
        document["_id"],
        balance_of(document),
        None if last is None else last.write_id,
        erased,
        document.get("hidden") is True,
    )


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
        reached = connected(uri, name, data_dir=data_dir, driver=driver, timeout=timeout)
        client, alone = await stack.enter_async_context(reached)
        if alone:
            await stack.enter_async_context(_writing(client, name))
        scan = LedgerScan(client[name], page=page)
        if not await scan.exists():
            raise StartupError(f"database {name!r} has no ledger yet: it begins with the first start of the service")
        yield scan


@asynccontextmanager
async def connected(
    uri: str | None,
    name: str,
    *,
    data_dir: Path,
    driver: DriverName = "pymongo",
    timeout: float = 5.0,  # noqa: ASYNC109  # the driver's own bound
) -> AsyncIterator[tuple[Client, bool]]:
    """A client of database `name` for a command, and whether it is an embedded one that no service uses.

    `uri` None is the embedded one in `data_dir`. Raises StartupError, also for errors of the enclosed block.
    """
    async with contextlib.AsyncExitStack() as stack:
        alone, embedded = False, uri is None
        if uri is None:
            uri, alone = await _embedded(data_dir, stack)
        client = preflight.open_client(uri, driver, timeout)
        stack.push_async_callback(_close, client)
        try:
            await preflight.check(client, name, embedded=embedded)
            yield client, alone
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
