"""Moderation in MongoDB: each is one compare-and-set, whose history entry reaches board and ledger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

import msgspec
from bson import Int64
from pymongo import ReturnDocument

from tornado_app.core.boards import MAIN, Board, Rule
from tornado_app.core.decide import PlayerState
from tornado_app.core.errors import ActionNotFound, DatabaseError, PlayerNotFound
from tornado_app.core.history import HistoryEntry, Kind, WriteKind
from tornado_app.core.ledger import AcceptedAction, Recount
from tornado_app.core.model import rfc3339, utc_datetime
from tornado_app.core.moderation import ModerationRequest, ModerationResult
from tornado_app.core.slots import EpochKey, EpochScore, Slot, SlotBefore, epoch_scores, with_scores
from tornado_app.mongo.client.cluster_time import cluster_time, cluster_time_to_int, wall_clock
from tornado_app.mongo.client.driver import Client, race_pause
from tornado_app.mongo.client.errors import database_errors
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.documents import STATE_FIELDS, Document
from tornado_app.mongo.players.erasure import Eraser, EraseResults
from tornado_app.mongo.players.records import TRIES, Records, change_entry, mark
from tornado_app.mongo.players.suspects import Suspects
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.moderation")

LEDGER_SECONDS = 5.0
"""Seconds for which a take-back waits until the ledger contains the player's last write."""

PAUSE = 0.05

ExportResults: TypeAlias = Callable[[str, Collection[str]], Awaitable[Mapping[str, list[Document]]]]


class Actions(Protocol):
    """The ledger's methods that moderation uses."""

    async def has(self, write_id: str) -> bool:
        """Whether the write is in the ledger."""

    async def folded_until(self, player: str, *, board: str) -> int | None:
        """The latest time (ms) of a checkpoint of the player, into which older entries are folded; None without one."""

    def actions(
        self, player: str, *, board: str, action_id: str | None = None, since_ms: int | None = None
    ) -> AsyncGenerator[list[AcceptedAction]]:
        """The player's accepted actions on a board that were not taken back, newest first, in pages."""

    async def recount(
        self, player: str, board: Board, without: Collection[str], epochs: Collection[EpochKey]
    ) -> dict[EpochKey | None, Recount]:
        """The player's scores without some actions (write ids), on a board of the rule best or last: of all time (None)
        and in some epochs."""

    async def export(self, player: str) -> list[dict[str, Any]]:
        """All entries of a player, of all boards."""


async def _no_results(player: str, never: Collection[str]) -> None:
    """For a database without periods."""


async def _nothing(player: str, never: Collection[str]) -> Mapping[str, list[Document]]:
    """For a database without periods."""
    return {}


class MongoModeration:
    """Moderation of players. Times are in seconds, the clock in milliseconds.

    Actions are taken back on `board`; all else holds on all boards (records.py). `erase_results`: see Eraser.
    `export_results` returns more members of a player's export, except those of boards on which the player never was.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        ledger: Actions,
        *,
        board: Board = MAIN,
        erase_results: EraseResults = _no_results,
        export_results: ExportResults = _nothing,
        timeout: float = 5.0,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._records = Records(client[database], clock=clock)
        self._players = self._records.collection(documents.collection_of(board.name))
        self._ledger = ledger
        self._board = board
        self._suspects = Suspects(client[database])
        self.eraser = Eraser(self._records, self._suspects, erase_results)
        self._export_results = export_results
        self._timeout = timeout
        self._clock = clock

    async def suspend(self, case: ModerationRequest) -> ModerationResult:
        """Refuse updates of the player until reinstated."""
        return await self._change(case, WriteKind.SUSPEND, "suspended", value=True)

    async def reinstate(self, case: ModerationRequest) -> ModerationResult:
        """Accept updates of the player again."""
        return await self._change(case, WriteKind.REINSTATE, "suspended", value=False)

    async def hide(self, case: ModerationRequest) -> ModerationResult:
        """Take the player off the board and the ranks; updates still count."""
        return await self._change(case, WriteKind.HIDE, "hidden", value=True)

    async def show(self, case: ModerationRequest) -> ModerationResult:
        """Put the player on the board again."""
        return await self._change(case, WriteKind.SHOW, "hidden", value=False)

    async def take_back(self, case: ModerationRequest, *, action_id: str | None, since: int | None) -> ModerationResult:
        """Take back actions: the score becomes the one without them, the ledger keeps both entries.

        Raises ActionNotFound, also before it takes back any if some of those since then were folded; after it, if they
        were folded meanwhile.

        The ledger has the actions, so it must contain the player's last write; the update is made only while that is
        still the last one. Many actions are taken back in parts, each by an update of its own; after an interruption
        these parts stay taken back, and the same request continues from there.
        """
        taken: ModerationResult | None = None
        lost = 0
        folded = await self._ledger.folded_until(case.user_id, board=self._board.name)
        if folded is not None and since is not None and since <= folded:
            raise _folded(folded)
        while lost < TRIES:
            before = await self._settled_state(case.user_id)
            async with aclosing(
                self._ledger.actions(case.user_id, board=self._board.name, action_id=action_id, since_ms=since)
            ) as pages:
                part, complete = await self._take_back_all(case, before, pages)
            taken = _sum(taken, part)
            if complete:
                if taken is not None and since is None:
                    return taken
                folded = await self._ledger.folded_until(case.user_id, board=self._board.name)
                if folded is not None and (since is None or since <= folded):
                    raise _folded(folded, taken)
                if taken is None:
                    raise ActionNotFound
                return taken
            lost = lost + 1 if part is None else 0
        raise DatabaseError(retry_after=1.0)

    async def _take_back_all(
        self, case: ModerationRequest, state: PlayerState, pages: AsyncIterator[list[AcceptedAction]]
    ) -> tuple[ModerationResult | None, bool]:
        """The result, and whether all actions are taken back: false if another write came first."""
        taken: ModerationResult | None = None
        taken_back: set[str] = set()
        async for page in pages:
            if not page:
                continue
            taken_back.update(action.write_id for action in page)
            after = await self._take_back_part(case, state, page, taken_back)
            if after is None:
                return taken, False
            points = (state.score or 0) - (after.score or 0)
            taken = _sum(taken, _result(case.user_id, after, points=points, actions=len(page)))
            state = after
        return taken, True

    async def _settled_state(self, user_id: str) -> PlayerState:
        """The state once the ledger contains the last write."""
        deadline = asyncio.get_running_loop().time() + LEDGER_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            state = await self._state(user_id)
            last = state.history.entry(state.seq)
            if last is None or await self._ledger.has(last.write_id):
                return state
            await asyncio.sleep(jittered(PAUSE, 0.5, 1.5))
        raise DatabaseError("The ledger is not up to date yet. Try again in a moment.", retry_after=5.0)

    async def _take_back_part(
        self, case: ModerationRequest, state: PlayerState, actions: list[AcceptedAction], taken_back: set[str]
    ) -> PlayerState | None:
        """The player's state after these actions were taken back; None if it is not in `state` any more.

        `taken_back`: the write ids of these and of the parts before, which the ledger may not show yet.
        """
        fields, removed = Document(), list[str]()
        known = epoch_scores(state.slots)
        epochs = {epoch for action in actions for epoch in action.epochs} & known.keys()
        in_epochs: dict[EpochKey, EpochScore | None]
        if self._board.rule is Rule.SUM:
            points = -sum([action.points for action in actions])
            same = not points
            in_epochs = {epoch: _less(known[epoch], epoch, actions) for epoch in epochs}
        else:
            recounts = await self._ledger.recount(case.user_id, self._board, taken_back, epochs)
            in_epochs = {epoch: self._recounted(known[epoch], recounts[epoch]) for epoch in epochs}
            left = recounts[None]
            score, at = left.score, left.at
            worse = left.removed.keys() == taken_back and state.score not in left.removed.values()
            if self._board.rule is Rule.BEST and worse:
                # The ledger does not know when a folded score was reached, nor whether a folded 0 was one.
                score, at = state.score, state.updated_at
            points = (score or 0) - (state.score or 0)
            same = (score, at) == (state.score, state.updated_at)
            if score is None:
                removed.append("score")
            else:
                fields["updatedAt"] = utc_datetime(at)
        if state.metadata and not same:
            removed.append("metadata")  # it came with another score
        entry = change_entry(WriteKind.TAKE_BACK, state, by=case.by, reason=case.reason, at=self._clock())
        takes_back = [action.write_id for action in actions]
        changed = {epoch: score for epoch, score in sorted(in_epochs.items()) if score != known[epoch]}
        before = [SlotBefore(*epoch, known[epoch].score) for epoch in changed]
        entry = msgspec.structs.replace(entry, points=points, takes_back=takes_back, slots=before)
        after = with_scores(state.slots, changed)
        return await self._write(self._players, case, state, entry, fields=fields, removed=removed, slots=after)

    def _recounted(self, known: EpochScore, left: Recount) -> EpochScore | None:
        """The score in an epoch after a take-back. A best score that no removed action submitted stays: the ledger may
        not have the action any more."""
        if self._board.rule is Rule.BEST and known.score not in left.removed.values():
            return known
        return None if left.score is None else EpochScore(known.epoch, left.score, left.at)

    async def erase(self, case: ModerationRequest) -> None:
        """Erase the player: first off each board, so that ranks know the removed score, then the document."""
        entry = HistoryEntry(WriteKind.ERASE, 0, "-", self._clock(), by=case.by, reason=case.reason)
        async with database_errors(self._timeout):
            existed = await self.eraser.erase(case.user_id, entry)
        if not existed:
            raise PlayerNotFound

    async def export(self, user_id: str) -> dict[str, Any]:
        """Everything stored about the player, in JSON's types."""
        async with database_errors(self._timeout):
            found = await self._records.stored(user_id)
            rules_broken = await self._suspects.of(user_id)
        if not found:
            raise PlayerNotFound
        async with database_errors(self._timeout):
            never = {documents.board_of(players.name) or "" for players in await self._records.others()} - found.keys()
            results = await self._export_results(user_id, never)
        entries = await self._ledger.export(user_id)
        main = found.pop(MAIN.name, None)
        return {
            "player": _plain(main),
            "boards": _plain(found),
            "ledger": _plain(entries),
            "rules_broken": _plain(rules_broken),
            **_plain(dict(results)),
        }

    async def _state(self, user_id: str) -> PlayerState:
        """The state of a player on the board. Raises PlayerNotFound, also if the erasure has begun."""
        async with database_errors(self._timeout):
            document = await self._players.find_one({"_id": user_id, "erased": {"$ne": True}}, STATE_FIELDS)
        if document is None:
            raise PlayerNotFound
        return documents.state_of(document)

    async def _record(self, user_id: str) -> PlayerState:
        """The state of a player's record, which is added if needed. Raises PlayerNotFound, as `_state`."""
        async with database_errors(self._timeout):
            record = await self._records.players.find_one({"_id": user_id}, STATE_FIELDS)
            if record is None and await self._records.add(user_id):
                record = await self._records.players.find_one({"_id": user_id}, STATE_FIELDS)
        if record is None or record.get("erased") is True:
            raise PlayerNotFound
        return documents.state_of(record)

    async def version(self) -> int:
        """The database's time, which is not before any write that it has acknowledged."""
        async with database_errors(self._timeout):
            return cluster_time_to_int(await cluster_time(self._players.database))

    async def _change(self, case: ModerationRequest, kind: Kind, flag: str, *, value: bool) -> ModerationResult:
        """Set a flag of a player on all boards, unless it has that value already."""
        for lost in range(TRIES):
            state = await self._record(case.user_id)
            changed = getattr(state, flag) is not value
            if changed:
                fields: Document = mark(state, by=case.by, reason=case.reason)
                removed = () if value else (flag,)
                if value:
                    fields[flag] = True
                entry = change_entry(kind, state, by=case.by, reason=case.reason, at=self._clock())
                after = await self._write(self._records.players, case, state, entry, fields=fields, removed=removed)
                if after is None:
                    await asyncio.sleep(race_pause(lost))
                    continue
                state = after
            async with database_errors(self._timeout):
                await self._records.copy(case.user_id)
            return msgspec.structs.replace(_result(case.user_id, state), changed=changed)
        raise DatabaseError(retry_after=1.0)

    async def _write(
        self,
        players: Any,
        case: ModerationRequest,
        state: PlayerState,
        entry: HistoryEntry,
        *,
        fields: Document | None = None,
        removed: Sequence[str] = (),
        slots: Sequence[Slot] = (),
    ) -> PlayerState | None:
        """The state after the write; None if the player is not in `state` any more."""
        expired = state.history.expired(entry.at, 0)
        change = documents.update(state, [entry], expired=expired, fields=fields, removed=removed, slots=slots)
        async with database_errors(self._timeout):
            document = await players.find_one_and_update(
                documents.condition(case.user_id, state),
                change,
                projection=STATE_FIELDS,
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else documents.state_of(document)


def _less(known: EpochScore, epoch: EpochKey, actions: Sequence[AcceptedAction]) -> EpochScore:
    """The score in an epoch without the points of these actions."""
    return known._replace(score=known.score - sum([action.points for action in actions if epoch in action.epochs]))


def _folded(until: int, taken: ModerationResult | None = None) -> ActionNotFound:
    """The error for entries until a time (ms); `taken`: what was taken back before they were folded."""
    done = "Action not found."
    if taken is not None:
        done = f"Only in part: {taken.actions} actions of {taken.points} points were taken back."
    return ActionNotFound(
        f"{done} The player's entries before {rfc3339(until)} were folded into one (ledger_retention) and "
        "can no longer be taken back: give a later time, or suspend, hide or erase the player.",
        reason="action_folded",
    )


def _sum(before: ModerationResult | None, part: ModerationResult | None) -> ModerationResult | None:
    """The player's state after the last part, with the sums of all parts; None without a part."""
    if before is None or part is None:
        return part or before
    return msgspec.structs.replace(part, points=before.points + part.points, actions=before.actions + part.actions)


def _result(user_id: str, state: PlayerState, *, points: int = 0, actions: int = 0) -> ModerationResult:
    return ModerationResult(
        user_id=user_id,
        score=state.score,
        suspended=state.suspended,
        hidden=state.hidden,
        changed=True,
        points=points,
        actions=actions,
    )


def _plain(value: Any) -> Any:
    """BSON's types as JSON's: times as RFC 3339, bytes in hexadecimal, an Int64 as the int that encoders take."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Int64):
        return int(value)
    if isinstance(value, datetime):
        return rfc3339(round(value.replace(tzinfo=value.tzinfo or UTC).timestamp() * 1000))
    return value
