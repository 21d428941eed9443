"""The players in MongoDB: the store of the use cases, on PyMongo Async or Motor."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import Any

from pymongo.read_concern import ReadConcern

from tornado_app.core.boards import MAIN, Board
from tornado_app.core.errors import PlayerNotFound
from tornado_app.core.model import (
    TOP,
    Action,
    Player,
    ProfileChange,
    Receipt,
    Registration,
    TopPlayers,
    standings,
    utc_datetime,
)
from tornado_app.core.policies import WritePolicy
from tornado_app.mongo.client.cluster_time import clocked, cluster_time_to_int, reached, wall_clock
from tornado_app.mongo.client.driver import DURABLE, Client
from tornado_app.mongo.client.errors import database_errors
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.batch_writer import BatchWriter
from tornado_app.mongo.players.cache import PlayerCache
from tornado_app.mongo.players.documents import ON_BOARD, PLAYER_FIELDS, Document, board_order
from tornado_app.mongo.players.group_commit import MAX_IN_FLIGHT, GroupCommit, PendingLimit, PendingWrite
from tornado_app.mongo.players.profiles import ProfileWriter
from tornado_app.observability.tracing import NO_TRACING, Tracing


class MongoStore:
    """The players of one board in one collection.

    Every accepted action is part of one single-document update with `$inc`, which is made only while the document is in
    the state that the action was decided from (core/decide.py). So no process, replica or crash can come between.
    Concurrent actions share a batch (group_commit.py, batch_writer.py). The stores of several boards share the memory
    of `cache`, and `pending`.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        *,
        board: Board = MAIN,
        policy: WritePolicy | None = None,
        timeout: float = 5.0,
        cache: PlayerCache | None = None,
        pending: PendingLimit | None = None,
        max_batch: int = 512,
        max_in_flight: int = MAX_IN_FLIGHT,
        clock: Callable[[], int] = wall_clock,
        observe_batch: Callable[[int], None] = lambda size: None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._database = client[database]
        self._players = self._database.get_collection(
            documents.collection_of(board.name), write_concern=DURABLE, read_concern=ReadConcern("majority")
        )
        self._policy = policy or WritePolicy()
        self._order = board_order(board.order)
        self._timeout = timeout
        self._clock = clock
        self._tracing = tracing
        prefix = secrets.token_hex(5) + "."
        self._write_ids = (f"{prefix}{n:x}" for n in count())
        self.cache = cache or PlayerCache(board=board.name)
        self._writer = BatchWriter(self._players, self._policy, self.cache, clock, board)
        self._commit = GroupCommit(
            self._write_batch,
            timeout=timeout,
            limit=pending,
            max_batch=max_batch,
            max_in_flight=max_in_flight,
            observe=observe_batch,
        )
        self._profiles = ProfileWriter(
            self._players,
            self._policy,
            clock=clock,
            next_write_id=lambda: next(self._write_ids),
            full=lambda: self._commit.full,
            board=board,
        )

    @property
    def waiting(self) -> int:
        """Actions that wait for a batch."""
        return self._commit.waiting

    @property
    def busy(self) -> bool:
        """Whether actions are being written."""
        return self._commit.busy

    @property
    def capacity(self) -> int:
        """Maximum number of waiting actions; the next one is refused with Overloaded."""
        return self._commit.capacity

    # -- writing ----------------------------------------------------------------------------------

    async def apply(self, action: Action) -> Receipt:
        """Apply an action exactly once; raises as `core.interfaces.Store.apply`."""
        write_id = next(self._write_ids)
        answer = self._commit.submit(action, write_id)
        self._tracing.submission(write_id, action.frontend, answer)
        try:
            return await answer
        finally:
            del answer  # it holds the error that is raised, and that this frame

    async def close(self) -> None:
        """Answer all waiting actions, and accept no more."""
        await self._commit.close()

    async def _write_batch(self, batch: Sequence[PendingWrite], seconds: float) -> Sequence[PendingWrite]:
        with self._tracing.commit([pending.write_id for pending in batch]):
            return await self._writer(batch, seconds)

    async def register(self, user_id: str, change: ProfileChange, *, by: str = "") -> Registration:
        """Create the player or change the profile; raises as `profiles.ProfileWriter.write`."""
        async with database_errors(self._timeout), clocked(self._players) as session:
            done = await self._profiles.write(user_id, change, by, session)
        self.cache.pop(user_id)  # its state is an older one now
        return done

    # -- reading ----------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Raises DatabaseError if the database does not answer."""
        async with database_errors(self._timeout):
            await self._database.command("ping")

    async def player(self, user_id: str) -> Player:
        """One player. Raises PlayerNotFound."""
        async with database_errors(self._timeout), clocked(self._players) as session:
            document = await self._players.find_one({"_id": user_id, **ON_BOARD}, PLAYER_FIELDS, session=session)
        if document is None:
            raise PlayerNotFound
        return documents.player(document, reached(session))

    async def chosen(self, user_ids: Collection[str]) -> list[Player]:
        """Those of these players who are on the board, in board order."""
        async with database_errors(self._timeout), clocked(self._players) as session:
            wanted = {**ON_BOARD, "_id": {"$in": list(user_ids)}}
            cursor = self._players.find(wanted, PLAYER_FIELDS, session=session).sort(self._order).hint([("_id", 1)])
            return [documents.player(row, reached(session)) for row in await cursor.to_list(None)]

    async def top(self) -> TopPlayers:
        """The top of the board at one majority-committed moment, which is its version."""
        command = {
            "find": self._players.name,
            "filter": ON_BOARD,
            "sort": dict(self._order),
            "limit": TOP,
            "projection": PLAYER_FIELDS,
            "readConcern": {"level": "snapshot"},
        }
        async with database_errors(self._timeout):
            reply = await self._database.command(command)
        cursor = reply["cursor"]
        players = [documents.player(document) for document in cursor["firstBatch"]]
        # a collection that does not exist has no atClusterTime
        moment = cursor.get("atClusterTime") or reply["operationTime"]
        return TopPlayers(cluster_time_to_int(moment), standings(players))

    async def around(self, player: Player, limit: int) -> tuple[list[Player], list[Player]]:
        """Up to `limit` players just above and just below, both in board order."""
        async with database_errors(self._timeout), clocked(self._players) as session:
            above = await self._walk(self._beyond(player, ahead=True), limit, session, backwards=True)
            below = await self._walk(self._beyond(player, ahead=False), limit, session)
        return above[::-1], below

    async def page(self, limit: int, after: Player | None) -> list[Player]:
        """Up to `limit` players in board order, from the one after `after` on."""
        async with database_errors(self._timeout), clocked(self._players) as session:
            return await self._walk({} if after is None else self._beyond(after, ahead=False), limit, session)

    async def _walk(self, place: Document, limit: int, session: Any, *, backwards: bool = False) -> list[Player]:
        order = [(field, -direction) for field, direction in self._order] if backwards else self._order
        cursor = self._players.find({**ON_BOARD, **place}, PLAYER_FIELDS, session=session).sort(order).limit(limit)
        rows = await cursor.to_list(None)
        return [documents.player(row, reached(session)) for row in rows]

    def _beyond(self, player: Player, *, ahead: bool) -> Document:
        """The filter of all players before (`ahead`) or after a position on the board."""
        values = {"score": player.score, "updatedAt": utc_datetime(player.updated_at), "_id": player.user_id}
        places, equal = list[Document](), Document()
        for field, direction in self._order:
            beyond = "$lt" if (direction > 0) is ahead else "$gt"
            places.append({**equal, field: {beyond: values[field]}})
            equal[field] = values[field]
        return {"$or": places}
