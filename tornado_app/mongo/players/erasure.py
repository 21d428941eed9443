"""Erases players, and finishes every erasure that was interrupted.

One update of the player's record (records.py) takes the player off the board, removes the profile and sets `erased`.
Then the same is done on every other board; the player's rows in the results of periods are removed; the documents of
other boards and the player's record of abuse rules are deleted; the record is deleted. `erased` stays in the record
until the last step, so that any process can finish what another one began. Until then no other write changes the
record, and no write adds the player to a board.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeAlias

import msgspec
import pymongo
from pymongo.errors import PyMongoError

from tornado_app.core.history import HistoryEntry, WriteKind, decode, encode
from tornado_app.core.slots import recorded
from tornado_app.mongo.client.cluster_time import wall_clock
from tornado_app.mongo.client.driver import race_pause
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.documents import PROFILE, STATE_FIELDS, Document, MalformedDocument
from tornado_app.mongo.players.records import Records
from tornado_app.mongo.players.suspects import Suspects
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.moderation")

INTERVAL = 15.0
"""Seconds between two searches for interrupted erasures."""

_REMOVED = (*PROFILE, "metadata", "copying")
"""The members that the first step removes."""

EraseResults: TypeAlias = Callable[[str, Collection[str]], Awaitable[None]]

TIMEOUT = 10.0
"""Timeout of one search, and of each erasure that it finishes, in seconds."""


class Eraser:
    """Erases players of all boards, and finishes what was interrupted. All methods raise PyMongoError.

    `erase_results` removes a player, who is on no board any more, from the results of periods, except those of boards
    on which the player never was; it can be repeated.
    """

    def __init__(self, records: Records, suspects: Suspects, erase_results: EraseResults) -> None:
        self._records = records
        self._players = records.players
        self._suspects = suspects
        self._erase_results = erase_results

    async def erase(self, player: str, entry: HistoryEntry) -> bool:
        """Erase the player; whether there was one. An interrupted erasure is finished."""
        if await self._erase_from(self._players, player, entry) or (
            await self._records.add(player) and await self._erase_from(self._players, player, entry)
        ):
            await self._finish(player, entry)
            return True
        return False

    async def _erase_from(self, players: Any, player: str, entry: HistoryEntry, *, placeholder: bool = False) -> bool:
        """Begin the erasure on one board; whether the player was there. `placeholder`: unless the player has played."""
        lost = 0
        while (document := await players.find_one({"_id": player}, STATE_FIELDS)) is not None:
            if placeholder and not {"score", "seq"}.isdisjoint(document):
                return False
            if document.get("erased") is True or await _begin(players, document, entry):
                return True
            await asyncio.sleep(race_pause(lost))
            lost += 1
        return False

    async def finish_all(self) -> int:
        """Finish interrupted erasures; their number."""
        with pymongo.timeout(TIMEOUT):
            cursor = self._players.find({"hidden": True, "erased": True}, STATE_FIELDS)  # by the index on `hidden`
            found: list[Document] = await cursor.to_list(None)
        for document in found:
            with pymongo.timeout(TIMEOUT):
                await self._finish(document["_id"], _entry_of(document))
        return len(found)

    async def run(self, interval: float = INTERVAL) -> None:
        """Finish interrupted erasures, and interrupted changes of records, at intervals, until cancelled."""
        while True:
            await asyncio.sleep(jittered(interval))
            await self.try_to_finish()

    async def try_to_finish(self) -> None:
        """As `finish_all`, and of records; if the database does not answer, this is logged, and `run` repeats it."""
        try:
            count = await self.finish_all()
            changes = await self._records.finish_all()
        except PyMongoError as error:
            log.warning(
                "search for interrupted erasures failed, the next one follows in %g s: %s",
                INTERVAL,
                type(error).__name__,
            )
            return
        if count:
            log.warning("finished erasures that were interrupted", extra={"players": count})
        if changes:
            log.warning("finished changes of players on all boards that were interrupted", extra={"players": changes})

    async def _finish(self, player: str, entry: HistoryEntry) -> None:
        """The steps after the first. Several processes may do them at once."""
        others = await self._records.others()
        played = [players for players in others if await self._erase_from(players, player, entry)]
        never = {documents.board_of(players.name) or "" for players in others if players not in played}
        await self._erase_results(player, never)
        for players in played:
            await players.delete_one(_erased(player))
        await self._suspects.forget(player)
        await self._players.delete_one(_erased(player))
        # A write that began before the record was gone may have left a placeholder since.
        for players in await self._records.others():
            if await self._erase_from(players, player, entry, placeholder=True):
                await players.delete_one(_erased(player))


def _erased(player: str) -> Document:
    return {"_id": player, "erased": True}


def _entry_of(document: Document) -> HistoryEntry:
    """The entry of the erasure that has begun in a player's record."""
    last = decode(document.get("h", {}).get(str(document.get("seq"))))
    return last or HistoryEntry(WriteKind.ERASE, 0, "-", wall_clock())


async def _begin(players: Any, document: Document, entry: HistoryEntry) -> bool:
    """Take the player off a board; whether no other write came first."""
    player, score = document["_id"], documents.score_of(document)
    on_board = score is not None and not document.get("hidden")
    write_id = f"{WriteKind.ERASE}.{secrets.token_hex(8)}"
    entry = msgspec.structs.replace(entry, write_id=write_id, points=score or 0, on_board=on_board, slots=[])
    fields = {"hidden": True, "suspended": True, "erased": True}
    try:
        state = documents.state_of(document)
    except MalformedDocument:  # nothing else writes it, so there is nothing to compare
        seq = 2 if document.get("seq") == 1 else 1  # another number than before, so that the event has it
        history = {str(seq): encode(entry)}
        change = {"$set": {**fields, "seq": seq, "h": history}, "$unset": dict.fromkeys(_REMOVED, "")}
        return bool((await players.update_one({"_id": player}, change)).matched_count)
    entry = msgspec.structs.replace(entry, slots=recorded(state.slots))
    change = documents.update(state, [entry], fields=fields, removed=_REMOVED)
    return bool((await players.update_one(documents.condition(player, state), change)).matched_count)
