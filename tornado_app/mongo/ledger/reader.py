"""Reads the ledger: the changes of a player's score, newest or oldest first.

    ledger: {_id: write_id, player, n, kind, points, score, at, version, increment?, id?, type?, frontend?, by?,
    reason?, takes_back?, submitted?, epochs?: {<period>: <epoch>}, hash, checkpoint?} index: {player: 1, n: 1}, unique

`player` is the user id on the board `main`, and `{board, id}` on any other: so one unique index numbers the entries
of all chains, also of a ledger that began with one board, and a former version of the service, which knows `main` only,
skips the other entries. One process at a time writes the ledger (writer.py), from the change stream, and folds old
entries (retention.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from datetime import datetime
from typing import Any

import msgspec
from bson import MaxKey
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import ASCENDING, DESCENDING
from pymongo.read_concern import ReadConcern

from tornado_app.core.boards import MAIN, Board
from tornado_app.core.ledger import AcceptedAction, ChainKey, Entry, EntryKind, Recount
from tornado_app.core.model import rfc3339, utc_datetime
from tornado_app.core.slots import EpochKey
from tornado_app.mongo.change_stream.source import collection_ids
from tornado_app.mongo.client.driver import DURABLE, maybe_await
from tornado_app.mongo.client.errors import database_errors, next_page
from tornado_app.mongo.players.documents import Document, board_of, collection_of, milliseconds

log = logging.getLogger("leaderboard.ledger")

LEDGER = "ledger"

TOLERANT: CodecOptions[Document] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)
"""Decodes malformed documents of other programs too; one error would prevent reading all later ones."""

PAGE = 250
"""Entries read at once: about 3 ms of work."""

MAX_BOARDS_READ = 1000
"""Maximum number of boards that are looked for: another program may have written entries of any."""

FOLD_WINDOW = 10_000
"""Maximum number of a player's oldest entries that one step of a fold replaces (retention.py)."""

_OPTIONAL = ("id", "type", "frontend", "by", "reason", "takes_back", "submitted")
"""Members that are omitted if they have no value."""

PLAIN = tuple(name for name in Entry.__struct_fields__ if name != "increment")
"""The members of an entry outside the service: the increment is only for the writer of the ledger."""


def chain_id(board: str, player: str) -> str | Document:
    """The member `player` of the entries of a chain."""
    return player if board == MAIN.name else {"board": board, "id": player}


def chain_of(member: Any) -> ChainKey:
    """The chain with this member `player`. Raises TypeError or KeyError if there is none."""
    if isinstance(member, str):
        return MAIN.name, member
    board, player = member["board"], member["id"]
    if not isinstance(board, str) or not isinstance(player, str) or member != chain_id(board, player):
        raise TypeError
    return board, player


def chains_between(board: str, after: str, last: str | None) -> Document:
    """A condition for `player`: the chains of a board's players after `after` up to `last`; None is no bound."""
    condition = {"$gt": chain_id(board, after)}
    if last is not None:
        condition["$lte"] = chain_id(board, last)
    elif board != MAIN.name:
        condition["$lt"] = {"board": board, "id": {}}  # after all texts
    return condition


async def boards_with_data(database: Any, entries: Any) -> list[str]:
    """The boards that have a collection, or entries in the ledger; `main` first, then by name. Raises PyMongoError."""
    boards = {MAIN.name, *await collection_ids(database)}
    last: Document = {"board": ""}
    end = {"board ": ""}  # the next name after `board`: documents are ordered by type, name and value of their members
    while len(boards) <= MAX_BOARDS_READ:
        found = await entries.find_one(
            {"player": {"$gt": last, "$lt": end}}, {"player.board": 1}, sort=[("player", ASCENDING)]
        )
        if found is None:
            break
        board = found["player"]["board"]
        if board_of(collection_of(board)) not in (None, MAIN.name):
            boards.add(board)
        last = {"board": board, "id": MaxKey()}
    return sorted(boards, key=lambda board: (board != MAIN.name, board))


class Ledger:
    """Reads the ledger. Every method raises DatabaseError if the database does not answer in `timeout`."""

    def __init__(
        self,
        database: Any,
        *,
        collection: str = LEDGER,
        timeout: float = 5.0,
        page: int = PAGE,
    ) -> None:
        self._page_size = page
        self._database = database
        options = {"write_concern": DURABLE, "read_concern": ReadConcern("majority"), "codec_options": TOLERANT}
        self._entries = database.get_collection(collection, **options)
        self._timeout = timeout

    async def has(self, write_id: str) -> bool:
        """Whether the ledger contains the write with this id."""
        async with database_errors(self._timeout):
            return await self._entries.find_one({"_id": write_id}, {"_id": 1}) is not None

    async def folded_until(self, player: str, *, board: str) -> int | None:
        """The latest time (ms) of a checkpoint of the player, into which older entries are folded; None without one.

        A fold that is under way, or was interrupted, has left entries before its checkpoint.
        """
        pipeline = [
            {"$match": {"player": chain_id(board, player)}},
            {"$sort": {"n": ASCENDING}},
            {"$limit": FOLD_WINDOW},
            {"$match": {"checkpoint": {"$exists": True}, "at": {"$type": "date"}}},
            {"$group": {"_id": None, "at": {"$max": "$at"}}},
        ]
        async with database_errors(self._timeout):
            cursor = await maybe_await(self._entries.aggregate(pipeline))
            try:
                found = await cursor.to_list(None)
            finally:
                await maybe_await(cursor.close())
        return milliseconds(found[0]["at"]) if found else None

    async def actions(
        self, player: str, *, board: str, action_id: str | None = None, since_ms: int | None = None
    ) -> AsyncGenerator[list[AcceptedAction]]:
        """The player's accepted actions on a board that were not taken back, newest first, up to `page` at a time.

        `action_id`: only the action with that id; `since_ms`: only those from that time on, in milliseconds. All
        entries of the player are read: a query for the matching ones could take too long for one call.
        """
        since = None if since_ms is None else utc_datetime(since_ms)
        gone: set[str] = set()
        fields = dict.fromkeys(("kind", "points", "id", "at", "takes_back", "epochs"), 1)
        found = self._entries.find({"player": chain_id(board, player)}, fields).sort("n", DESCENDING)
        async with aclosing(self._pages(found)) as pages:
            async for page in pages:
                for document in page:  # newer entries, before the actions that they take back
                    gone.update(document.get("takes_back", ()))
                yield [
                    AcceptedAction(document["_id"], int(document["points"]), _epochs(document.get("epochs", {})))
                    for document in page
                    if document["kind"] == EntryKind.ACTION.value
                    and document["_id"] not in gone
                    and (action_id is None or document.get("id") == action_id)
                    and (since is None or document["at"] >= since)
                ]

    async def recount(
        self, player: str, board: Board, without: Collection[str], epochs: Collection[EpochKey]
    ) -> dict[EpochKey | None, Recount]:
        """The player's scores without some actions (write ids), on a board of the rule best or last.

        By epoch; None: of all time.
        """
        recounts = {epoch: Recount(board, without, epoch) for epoch in (None, *epochs)}
        found = self._entries.find({"player": chain_id(board.name, player)}).sort("n", DESCENDING)
        async with aclosing(self._pages(found)) as pages:
            async for page in pages:
                for each in _readable(page):
                    for recount in recounts.values():
                        recount.add(each)
        return recounts

    async def _pages(self, cursor: Any) -> AsyncGenerator[list[Document]]:
        """The results of a cursor, in pages that are small enough not to block the loop."""
        cursor = cursor.batch_size(self._page_size)
        try:
            while True:
                async with database_errors(None):
                    page = await next_page(cursor, self._page_size, self._timeout)
                if not page:
                    return
                yield page
                await asyncio.sleep(0)  # a page that has arrived would let no other task run
        finally:
            await maybe_await(cursor.close())

    async def history(self, player: str, limit: int, before_n: int | None, *, board: str) -> list[Entry]:
        """Up to `limit` entries of the player on a board, newest first, from the one before number `before_n` on."""
        wanted: Document = {"player": chain_id(board, player)}
        if before_n is not None:
            wanted["n"] = {"$lt": before_n}
        async with database_errors(self._timeout):
            documents = await self._entries.find(wanted).sort("n", DESCENDING).limit(limit).to_list(None)
        return _readable(documents)

    async def knows(self, player: str, *, board: str) -> bool:
        """Whether the player exists on a board, shown or hidden, or left entries of it."""
        players = self._database.get_collection(collection_of(board), read_concern=ReadConcern("majority"))
        async with database_errors(self._timeout):
            if await players.find_one({"_id": player}, {"_id": 1}) is not None:
                return True
            return await self._entries.find_one({"player": chain_id(board, player)}, {"_id": 1}) is not None

    async def export(self, player: str) -> list[dict[str, Any]]:
        """All entries of the player in JSON's types, of one board after the other, oldest first."""
        async with database_errors(self._timeout):
            boards = await boards_with_data(self._database, self._entries)
        entries: list[dict[str, Any]] = []
        for board in boards:
            found = self._entries.find({"player": chain_id(board, player)}).sort("n", ASCENDING)
            async with aclosing(self._pages(found)) as pages:
                async for page in pages:
                    entries += map(plain, _readable(page))
        return entries


def _readable(documents: list[Document]) -> list[Entry]:
    """The valid entries; the audit reports the others."""
    entries = []
    for document in documents:
        try:
            entries.append(entry(document))
        except (KeyError, TypeError, ValueError):
            log.error("a ledger entry is malformed: run `leaderboard audit`", extra={"write_id": document["_id"]})
    return entries


def entry(document: Document) -> Entry:
    """A stored entry. Raises KeyError, TypeError or ValueError if it is malformed."""
    optional = {name: document[name] for name in _OPTIONAL if name in document}
    if "takes_back" in optional:
        optional["takes_back"] = tuple(optional["takes_back"])
    if "submitted" in optional:
        optional["submitted"] = _integer(optional["submitted"])
    if "epochs" in document:
        optional["epochs"] = _epochs(document["epochs"])
    board, player = chain_of(document["player"])
    return Entry(
        write_id=document["_id"],
        board=board,
        player=player,
        n=_integer(document["n"]),
        kind=EntryKind(document["kind"]),
        points=_integer(document["points"]),
        score=_integer(document["score"]),
        at=_moment(document["at"]),
        version=_integer(document["version"]),
        increment=_integer(document.get("increment", 0)),
        hash=_hash(document["hash"]),
        checkpoint=_hash(document.get("checkpoint", b"")),
        **optional,
    )


def _integer(value: Any) -> int:
    """As int: BSON's int64 is a class of its own, which JSON encoders refuse."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return int(value)


def _epochs(value: Any) -> tuple[EpochKey, ...]:
    if not isinstance(value, dict):
        raise TypeError
    return tuple(sorted([(period, _integer(epoch)) for period, epoch in value.items()]))


def _moment(value: Any) -> int:
    if not isinstance(value, datetime):
        raise TypeError
    return milliseconds(value) or 0


def _hash(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return bytes(value)


def document(entry: Entry) -> Document:
    """A new entry as a document."""
    optional = {name: value for name in _OPTIONAL if (value := getattr(entry, name)) not in (None, "", ())}
    if entry.increment:
        optional["increment"] = entry.increment
    if entry.epochs:
        optional["epochs"] = dict(entry.epochs)
    return {
        "_id": entry.write_id,
        "player": chain_id(entry.board, entry.player),
        "n": entry.n,
        "kind": entry.kind.value,
        "points": entry.points,
        "score": entry.score,
        "at": utc_datetime(entry.at),
        "version": entry.version,
        **optional,
        "hash": entry.hash,
    }


def from_plain(members: dict[str, Any]) -> Entry:
    """The entry whose `plain` form is given. Raises KeyError, TypeError or ValueError if it has another form."""
    if not isinstance(members.get("epochs", {}), dict):
        raise TypeError
    found = msgspec.convert(
        members
        | {
            "at": round(datetime.fromisoformat(members["at"]).timestamp() * 1000),
            "epochs": sorted(members.get("epochs", {}).items()),
            "hash": b"",
            "checkpoint": b"",
        },
        Entry,
        strict=True,
    )
    return msgspec.structs.replace(
        found, hash=bytes.fromhex(members["hash"]), checkpoint=bytes.fromhex(members["checkpoint"])
    )


def plain(entry: Entry) -> dict[str, Any]:
    """An entry in JSON's types: hashes in hexadecimal, the time as RFC 3339."""
    members = {name: getattr(entry, name) for name in PLAIN}
    return members | {
        "kind": entry.kind.value,
        "at": rfc3339(entry.at),
        "takes_back": list(entry.takes_back),
        "epochs": dict(entry.epochs),
        "hash": entry.hash.hex(),
        "checkpoint": entry.checkpoint.hex(),
    }
