"""The players in MongoDB: the store of the use cases, on PyMongo Async or Motor."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from itertools import count

import msgspec
from pymongo.read_concern import ReadConcern

from tornado_app.core.boards import MAIN, Board
from tornado_app.core.model import Action, ProfileChange, Receipt, Registration
from tornado_app.core.policies import WritePolicy
from tornado_app.core.slots import NO_EPOCHS, OpenEpochs
from tornado_app.mongo.client.cluster_time import clocked, wall_clock
from tornado_app.mongo.client.driver import DURABLE, Client
from tornado_app.mongo.client.errors import database_errors
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.batch_writer import BatchWriter
from tornado_app.mongo.players.cache import PlayerCache
from tornado_app.mongo.players.group_commit import MAX_IN_FLIGHT, GroupCommit, PendingLimit, PendingWrite
from tornado_app.mongo.players.profiles import ProfileWriter
from tornado_app.mongo.players.reads import PlayerReads
from tornado_app.mongo.players.records import Records
from tornado_app.observability.tracing import NO_TRACING, Tracing


class MongoStore(PlayerReads):
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
        epochs: Callable[[], OpenEpochs] = lambda: NO_EPOCHS,
    ) -> None:
        self._database = client[database]
        players = self._database.get_collection(
            documents.collection_of(board.name), write_concern=DURABLE, read_concern=ReadConcern("majority")
        )
        super().__init__(players, board.order, timeout)
        self._board = board
        self._policy = policy or WritePolicy()
        self._clock = clock
        self._tracing = tracing
        prefix = secrets.token_hex(5) + "."
        self._write_ids = (f"{prefix}{n:x}" for n in count())
        self.cache = cache or PlayerCache(board=board.name)
        records = Records(self._database, clock=clock)
        self._writer = BatchWriter(self._players, records, self._policy, self.cache, clock, board, epochs)
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
            records,
            self._policy,
            clock=clock,
            next_write_id=lambda: next(self._write_ids),
            full=lambda: self._commit.full,
            board=board,
        )

    @property
    def board(self) -> Board:
        """The board; only its bounds may change."""
        return self._writer.board

    @board.setter
    def board(self, board: Board) -> None:
        self._writer.board = board

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

    def in_period(self, period: str, epoch: Callable[[], int | None]) -> PeriodStore:
        """The same players, by their scores in the epoch of a period."""
        fields = documents.ViewFields.of(period)
        return PeriodStore(self, period, PlayerReads(self._players, self._board.order, self._timeout, fields, epoch))


class PeriodStore:
    """A Store that reads one period. Its writes are those of the board; its receipts have the score in the period."""

    def __init__(self, store: MongoStore, period: str, reads: PlayerReads) -> None:
        self._store = store
        self._period = period
        self.register = store.register
        self.player = reads.player
        self.chosen = reads.chosen
        self.top = reads.top
        self.around = reads.around
        self.page = reads.page

    async def apply(self, action: Action) -> Receipt:
        """As `MongoStore.apply`."""
        receipt = await self._store.apply(action)
        for each in receipt.epochs:
            if each.period == self._period:
                return msgspec.structs.replace(
                    receipt, score=each.score, improved=each.improved, superseded_at=each.superseded_at
                )
        return receipt
