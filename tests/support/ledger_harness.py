"""Store, moderation, ledger and any number of its writers, on a real mongod, in the test's event loop."""

import asyncio
from contextlib import asynccontextmanager

from pymongo import MongoClient

from tests.support.ledger import problems
from tests.support.wait import eventually
from tornado_app.core.boards import Board
from tornado_app.core.model import Action, Profile
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.ledger.writer import LedgerWriter
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore
from tornado_app.runtime.tasks import cancel_and_wait

ROOMY = WritePolicy(limit=RateLimit(updates=100_000, window=60))


class NullListener:
    """A listener of the feed that does nothing."""

    def on_snapshots(self, snapshots):
        """Do nothing."""

    def on_change(self, view, change):
        """Do nothing."""

    def on_progress(self, version):
        """Do nothing."""

    def on_history_lost(self):
        """Do nothing."""


class LedgerHarness:
    """Store, moderation and ledger of one service process, on one database."""

    def __init__(self, uri, name, driver="pymongo", *, with_feed=False, pages=1000, max_subscribed=2000):
        self.client = connect(uri, driver)
        self.name = name
        self.stores = {}
        self.store = self.store_of("main")
        self.pages = pages
        self.ledger = Ledger(self.client[name], page=pages)
        self.moderation = MongoModeration(self.client, name, self.ledger)
        self.sync = MongoClient(uri, tz_aware=True)[name]
        self.running = []
        self.feed = Feed(self.client, name, NullListener(), max_subscribed=max_subscribed) if with_feed else None
        self.feeding = asyncio.ensure_future(self.feed.run()) if self.feed is not None else None

    def add_writer(self, ttl=1.0):
        writer = LedgerWriter(self.client, self.name, ttl=ttl, feed=self.feed, page=self.pages)
        writer.task = asyncio.ensure_future(writer.run())
        self.running.append(writer)
        return writer

    async def start_writer(self):
        """Start a writer and wait until it reads the stream; later writes are not part of the opening."""
        writer = self.add_writer()
        await eventually(lambda: self.sync["leases"].find_one({"resume_token": {"$ne": None}}))
        return writer

    async def score(self, player="alice", points=5, action_id=None, board="main"):
        action = Action(
            player, points, action_id, b"f", Profile(), create_player=True, type="level", frontend="C", caller=player
        )
        return await self.store_of(board).apply(action)

    def store_of(self, board):
        """The store of a board whose points are added."""
        if board not in self.stores:
            self.stores[board] = MongoStore(self.client, self.name, board=Board(board), policy=ROOMY, timeout=20)
        return self.stores[board]

    async def wait_complete(self, seconds=60):
        """Wait until the ledger agrees with the players, checked by the recipe of docs/ledger.md."""
        last = []

        def is_complete():
            last[:] = [problem for board in self.stores for problem in problems(self.sync, board)]
            return not last

        try:
            await eventually(is_complete, seconds)
        except AssertionError as error:
            raise AssertionError("\n".join(last)) from error

    async def crash(self, writer):
        """End a writer as a crash does: it finishes nothing and keeps its lease."""
        writer.task.cancel()
        await asyncio.wait([writer.task])
        self.running.remove(writer)

    async def close(self):
        if self.feeding is not None:  # before the ledger, as the service does it
            await cancel_and_wait(self.feeding)
        for writer in self.running:
            await writer.close()
            writer.task.cancel()
            await asyncio.wait([writer.task])
            assert writer.task.cancelled()
        for store in self.stores.values():
            await store.close()
        await maybe_await(self.client.close())
        self.sync.client.close()


def moderation_request(player="alice", reason="speed hack"):
    return ModerationRequest(player, "mod", reason)


@asynccontextmanager
async def open_ledger_harness(uri, name, driver="pymongo", **options):
    """Run a `LedgerHarness`; `options` are its arguments."""
    client = connect(uri, driver)
    await indexes.ensure(client, name)
    await maybe_await(client.close())
    harness = LedgerHarness(uri, name, driver, **options)
    try:
        yield harness
    finally:
        await harness.close()
