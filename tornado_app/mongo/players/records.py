"""What belongs to the player on all boards: suspension, hiding, and the profile that the player chose.

The player's document in `players` (board `main`) is the record of it; the documents of all other boards have copies,
with `record`, the `seq` of the record that they were copied from. A player who never played on `main` gets a record
when there is something to record: it has no score, so `main` does not show it.

A change is written to the record first, with `copying` as a mark of what is left to do; then to every other board of
the database, served or not; then the mark is removed. `finish_all` finishes what was interrupted.

The first write of a player on another board inserts a placeholder there, a document of nothing but `_id`, and then
reads the record. So a change of the record is either seen by that read, or its copying comes after the placeholder and
gives that a history; the first write applies to a placeholder only, and is then decided again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pymongo
from pymongo import InsertOne
from pymongo.errors import BulkWriteError
from pymongo.read_concern import ReadConcern

from tornado_app.core.boards import MAIN
from tornado_app.core.decide import PlayerState
from tornado_app.core.errors import DatabaseError
from tornado_app.core.history import HistoryEntry, Kind, WriteKind
from tornado_app.core.slots import recorded
from tornado_app.mongo.client.cluster_time import wall_clock
from tornado_app.mongo.client.driver import DUPLICATE_KEY, DURABLE, drop_tracebacks, race_pause
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.documents import PROFILE, STATE_FIELDS, Document, MalformedDocument

log = logging.getLogger("leaderboard.moderation")

TIMEOUT = 10.0
"""Timeout of one search for interrupted changes, and of each that is finished, in seconds."""

TRIES = 20
"""Maximum attempts when other writes come first; about 3 s with the pauses."""

PLACEHOLDER = PlayerState(versioned=False)

_CHOSEN = ("ownUsername", "ownAvatarUrl")

_RECORD_FIELDS = dict.fromkeys(("seq", "suspended", "hidden", "erased", "copying", *PROFILE), 1)
_COPY_FIELDS = STATE_FIELDS | dict.fromkeys(("record", *_CHOSEN), 1)

_FLAGS: tuple[tuple[str, Kind, Kind], ...] = (
    ("suspended", WriteKind.SUSPEND, WriteKind.REINSTATE),
    ("hidden", WriteKind.HIDE, WriteKind.SHOW),
)


class Records:
    """The records of a database's players. All methods raise PyMongoError. `clock`: milliseconds."""

    def __init__(self, database: Any, *, clock: Callable[[], int] = wall_clock) -> None:
        self._database = database
        self._clock = clock
        self.players = self.collection(documents.collection_of(MAIN.name))

    def collection(self, name: str) -> Any:
        return self._database.get_collection(name, write_concern=DURABLE, read_concern=ReadConcern("majority"))

    async def others(self) -> list[Any]:
        """The collections of all boards but `main`, also of boards that are not served."""
        names = await self._database.list_collection_names(filter={"name": {"$regex": documents.COLLECTIONS}})
        return [self.collection(name) for name in sorted(names) if name != self.players.name]

    async def read(self, players: Collection[str], session: Any = None) -> dict[str, Document]:
        """The records of those players who have one."""
        cursor = self.players.find({"_id": {"$in": list(players)}}, _RECORD_FIELDS, session=session)
        return {document["_id"]: document for document in await cursor.to_list(None)}

    async def stored(self, player: str) -> dict[str, Document]:
        """All documents of the player, by board."""
        found: dict[str, Document] = {}
        for players in (self.players, *await self.others()):
            document = await players.find_one({"_id": player})
            board = documents.board_of(players.name)
            if document is not None and board is not None:
                found[board] = document
        return found

    async def add(self, player: str) -> bool:
        """Give a player of any other board a record without contents; whether there is such a player."""
        for players in await self.others():
            if await players.find_one({"_id": player}, {"_id": 1}) is not None:
                await place(self.players, [player])
                return True
        return False

    async def copy(self, player: str) -> bool:
        """Copy the record to all other boards, if that is left to do; whether it was. Raises DatabaseError."""
        record = await self.players.find_one({"_id": player}, _RECORD_FIELDS)
        if record is None or record.get("erased") is True or not isinstance(record.get("copying"), dict):
            return False
        malformed: MalformedDocument | None = None
        for players in await self.others():
            try:
                await self._copy(players, record)
            except MalformedDocument as error:  # it must not keep the change from the other boards
                malformed = error
        if malformed is not None:
            raise malformed
        done = {"_id": player, "copying.seq": record["copying"]["seq"]}
        await self.players.update_one(done, {"$unset": {"copying": ""}})
        return True

    async def _copy(self, players: Any, record: Document) -> None:
        """Copy a record to one board, by one write for each difference."""
        user_id, seq = record["_id"], record["copying"]["seq"]
        for lost in range(TRIES):
            document = await players.find_one({"_id": user_id}, _COPY_FIELDS)
            if document is None or document.get("erased") is True or document.get("record", 0) >= seq:
                return
            state = documents.state_of(document)
            differences = _differences(document, record)
            if not differences and not state.seq:
                differences = [(WriteKind.PROFILE, {}, ())]  # so that it is a placeholder no more
            change: Document = {"$set": {"record": seq}}
            if differences:
                kind, fields, removed = differences[0]
                if len(differences) == 1:
                    fields = fields | {"record": seq}
                entry = change_entry(kind, state, at=self._clock(), **_by(record))
                change = documents.update(state, [entry], fields=fields, removed=removed)
            condition = documents.condition(user_id, state) | {"record": document.get("record", {"$exists": False})}
            if (await players.update_one(condition, change)).matched_count == 0:
                await asyncio.sleep(race_pause(lost))
        raise DatabaseError(retry_after=1.0, reason="lost_races", detail=f"{TRIES} other writes came between")

    async def finish_all(self) -> int:
        """Finish copying that was interrupted; the number of players."""
        with pymongo.timeout(TIMEOUT):
            cursor = self.players.find({"copying": {"$exists": True}}, {"_id": 1})
            found: list[Document] = await cursor.to_list(None)
        finished = 0
        for document in found:
            try:
                with pymongo.timeout(TIMEOUT):
                    finished += await self.copy(document["_id"])
            except DatabaseError as error:
                log.error("the change of a player is not on all boards yet: %s", error.detail)
        return finished


def mark(state: PlayerState, *, by: str, reason: str) -> Document:
    """The member `copying` of a change of the record that is in this state."""
    return {"copying": {"seq": state.seq + 1, "by": by, "reason": reason}}


def copies(record: Mapping[str, Any] | None) -> Document:
    """The members of a player's first document on another board that are copied from the record."""
    if record is None:
        return {}
    flags = {name: True for name, *_ in _FLAGS if record.get(name) is True}
    profile = {name: record[name] for name in PROFILE if name in record}
    return {"record": record.get("seq", 0), **flags, **profile}


def new_state(record: Mapping[str, Any] | None) -> PlayerState | None:
    """The state of a player who is new on another board; None: who is new on all boards."""
    if record is None:
        return None
    return PlayerState(suspended=record.get("suspended") is True, hidden=record.get("hidden") is True, versioned=False)


async def place(players: Any, user_ids: Sequence[str], session: Any = None) -> None:
    """Insert placeholders for those players who have no document."""
    try:
        await players.bulk_write([InsertOne({"_id": user_id}) for user_id in user_ids], ordered=False, session=session)
    except BulkWriteError as error:
        details: Any = error.details
        if details.get("writeConcernErrors") or any(e["code"] != DUPLICATE_KEY for e in details["writeErrors"]):
            raise
        drop_tracebacks(error)


def change_entry(kind: Kind, state: PlayerState, *, by: str, reason: str, at: int) -> HistoryEntry:
    """The history entry of a change of a player in this state. Hide and show have the scores, of all time and of
    periods, which they take off the board or put on it."""
    shown, write_id = state.score is not None, f"{kind}.{secrets.token_hex(8)}"
    if kind in (WriteKind.HIDE, WriteKind.SHOW):
        points, slots = state.score or 0, recorded(state.slots)
    else:
        shown, points, slots = shown and not state.hidden, 0, []
    return HistoryEntry(kind, points, write_id, at, by=by, on_board=shown, reason=reason, slots=slots)


def _by(record: Document) -> dict[str, str]:
    return {name: str(record["copying"].get(name, "")) for name in ("by", "reason")}


def _differences(document: Document, record: Document) -> list[tuple[Kind, Document, tuple[str, ...]]]:
    """What differs from the record: kind of the write, members to set, members to remove."""
    found: list[tuple[Kind, Document, tuple[str, ...]]] = []
    for name, on, off in _FLAGS:
        value = record.get(name) is True
        if value is not (document.get(name) is True):
            found.append((on, {name: True}, ()) if value else (off, {}, (name,)))
    given = {name: record[name] for name in _CHOSEN if name in record}
    if any(name not in document or document[name] != value for name, value in given.items()):
        found.append((WriteKind.PROFILE, given, ()))
    return found
