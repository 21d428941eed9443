"""Store, moderation, ledger and any number of its writers, on a real mongod, in the test's own loop."""

import asyncio
from contextlib import asynccontextmanager

from pymongo import MongoClient

from tests.support.ledger import problems
from tests.support.wait import eventually
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

ROOMY = WritePolicy(limit=RateLimit(updates=100_000, window=60), idempotency_history_size=50)


class Nobody:
    """A board that keeps nothing."""

    def on_snapshot(self, snapshot):
        """Nothing to keep."""

    def on_change(self, change):
        """Nothing to keep."""

    def on_progress(self, version):
        """Nothing to keep."""

    def on_history_lost(self):
        """Nothing to lose."""


class Desk:
    """Store, moderation and ledger on one database, as a process of the service has them."""

    def __init__(self, uri, name, driver="pymongo", *, tapped=False, pages=1000, max_subscribed=2000):
        self.client = connect(uri, driver)
        self.name = name
        self.store = MongoStore(self.client, name, policy=ROOMY, timeout=20)
        self.pages = pages
        self.ledger = Ledger(self.client[name], page=pages)
        self.moderation = MongoModeration(self.client, name, self.ledger)
        self.sync = MongoClient(uri, tz_aware=True)[name]
        self.running = []
        self.feed = Feed(self.client, name, Nobody(), max_subscribed=max_subscribed) if tapped else None
        self.feeding = asyncio.ensure_future(self.feed.run()) if self.feed is not None else None

    def writer(self, ttl=1.0):
        writer = LedgerWriter(self.client, self.name, ttl=ttl, feed=self.feed, page=self.pages)
        writer.task = asyncio.ensure_future(writer.run())
        self.running.append(writer)
        return writer

    async def begin(self):
        """A writer that follows the stream already, so that nothing is part of the opening."""
        writer = self.writer()
        await eventually(lambda: self.sync["leases"].find_one({"resume_token": {"$ne": None}}))
        return writer

    async def score(self, player="alice", points=5, action_id=None):
        action = Action(
            player, points, action_id, b"f", Profile(), create_player=True, type="level", frontend="C", caller=player
        )
        return await self.store.apply(action)

    async def whole(self, seconds=20):
        """Until the ledger is the players' own, and says so by the recipe of the docs."""
        last = []

        def right():
            last[:] = problems(self.sync)
            return not last

        try:
            await eventually(right, seconds)
        except AssertionError as error:
            raise AssertionError("\n".join(last)) from error

    async def abandon(self, writer):
        """As a crash: nothing is finished and the lease is not given up."""
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
        await self.store.close()
        await maybe_await(self.client.close())
        self.sync.client.close()


def case(player="alice", reason="speed hack"):
    return ModerationRequest(player, "mod", reason)


@asynccontextmanager
async def open_desk(uri, name, driver="pymongo", **options):
    """`options`: those of `Desk`."""
    client = connect(uri, driver)
    await indexes.ensure(client, name)
    await maybe_await(client.close())
    desk = Desk(uri, name, driver, **options)
    try:
        yield desk
    finally:
        await desk.close()
