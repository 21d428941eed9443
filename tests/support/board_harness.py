"""Store, feed and board on a real mongod, in the test's own loop."""

import asyncio
from contextlib import asynccontextmanager

from pymongo import MongoClient

from tests.support.wait import eventually
from tornado_app.core.model import Action, Profile
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.live.board import Board
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.store import MongoStore
from tornado_app.runtime.tasks import cancel_and_wait

ROOMY = WritePolicy(limit=RateLimit(updates=1000, window=60), idempotency_history_size=2000)


class Tape(Board):
    """A board that also writes down what it was told."""

    def __init__(self, read_top):
        super().__init__(read_top, self, interval=0.01)
        self.changes, self.rebuilds, self.moves = [], 0, []

    def on_snapshot(self, snapshot):
        self.rebuilds += 1
        super().on_snapshot(snapshot)

    def on_change(self, change):
        super().on_change(change)
        self.changes.append(change)

    def publish_top(self, top):
        pass

    def publish_change(self, change, rank):
        self.moves.append((change, rank))


class Live:
    """Store, feed and board on one database, as a process of the service has them."""

    def __init__(self, uri, name, driver, **feeding):
        self.uri, self.name = uri, name
        self.client = connect(uri, driver)
        self.players = self.client[name]["players"]
        self.store = MongoStore(self.client, name, policy=ROOMY, timeout=10)
        self.board = Tape(self.store.top)
        self.restarts = []
        self.feed = Feed(self.client, name, self.board, on_restart=self.restarts.append, **feeding)
        self.tasks = []

    async def start(self):
        """Run until `stop`; returns when the board is known."""
        self.tasks = [asyncio.ensure_future(part.run()) for part in (self.feed, self.board)]
        await self.opened()

    async def opened(self):
        async with asyncio.timeout(30):
            await self.board.wait_ready()
            await self.feed.wait_open()

    async def stop(self):
        await cancel_and_wait(*self.tasks)
        assert all(task.cancelled() for task in self.tasks), [t.exception() for t in self.tasks if not t.cancelled()]
        await self.store.close()
        await maybe_await(self.client.close())

    async def score(self, user, points):
        return await self.store.apply(Action(user, points, None, b"f", Profile(), create_player=True))

    async def scores(self):
        """The scores on the board, as the database has them."""
        with MongoClient(self.uri) as client:
            found = client[self.name]["players"].find({"hidden": {"$ne": True}}, {"score": 1})
            return [row["score"] for row in found]

    async def agrees(self):
        """Whether every rank, the number of players and the top 10 are those of the database."""
        scores = await self.scores()
        board = self.board
        if not board.ready or board.total != len(scores):
            return False
        ranks = all(board.rank(score) == 1 + sum(other > score for other in scores) for score in set(scores))
        top = [standing.player.score for standing in board.top.standings]
        return ranks and top == sorted(scores, reverse=True)[:10]

    async def settles(self):
        await eventually(self.agrees, 20, "the board is as the database")


@asynccontextmanager
async def running(uri, name, driver="pymongo", *, start=True, **feeding):
    """`feeding`: arguments of the feed."""
    live = Live(uri, name, driver, **feeding)
    await indexes.ensure(live.client, name)
    try:
        if start:
            await live.start()
        yield live
    finally:
        await live.stop()


@asynccontextmanager
async def failing(replica_set, *commands, until, **how):
    """These commands of the service's clients fail in this way until `until`, which is a condition or so many times.

    Source: MongoDB's fail point `failCommand`.
    """
    mode = {"times": until} if isinstance(until, int) else "alwaysOn"
    data = {"failCommands": list(commands), "appName": "leaderboard", **how}
    with MongoClient(replica_set.uri) as client:
        set_up = client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        try:
            yield
            if isinstance(until, int):
                wait = {"waitForFailPoint": "failCommand", "timesEntered": set_up["count"] + until, "maxTimeMS": 15_000}
                await asyncio.to_thread(client.admin.command, wait)
            else:
                await eventually(until)
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
