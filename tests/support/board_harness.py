"""Store, feed and board on a real mongod, in the test's event loop."""

import asyncio
import socket
from contextlib import asynccontextmanager

from pymongo import MongoClient

from tests.support.wait import eventually
from tornado_app.core.model import Action, Profile
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.live.views import LiveView, LiveViews, Progress
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.change_stream.follower import Follower
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.store import MongoStore
from tornado_app.processes.event_log import EventLog
from tornado_app.processes.relay import RelayedEvents, serve_events
from tornado_app.runtime.tasks import cancel_and_wait

ROOMY = WritePolicy(limit=RateLimit(updates=1000, window=60))


class RecordingView(LiveView):
    """A view that records the calls that it receives. `views`: the listener of a feed, with this view only."""

    def __init__(self, read_top, progress=None, **options):
        progress = progress or Progress()
        super().__init__(read_top, self, progress, interval=0.01, **options)
        self.views = LiveViews([self], progress)
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


class BoardHarness:
    """Store, feed and board of one service process, on one database.

    `relay`: as in a worker, whose events come through the supervisor's `events`, here in the same process.
    """

    def __init__(self, uri, name, driver, *, relay=False, **feed_options):
        self.uri, self.name = uri, name
        self.client = connect(uri, driver)
        self.players = self.client[name]["players"]
        self.store = MongoStore(self.client, name, policy=ROOMY, timeout=10)
        self.board = RecordingView(self.store.top)
        self.restarts = []
        self.events = EventLog()
        self.relayed = None
        self.relay = relay
        self.feed_options = feed_options
        self.feed = None if relay else self._make_feed()
        self.tasks = []

    def _make_feed(self, **options):
        return Feed(
            self.client, self.name, self.board.views, on_restart=self.restarts.append, **self.feed_options, **options
        )

    async def start(self):
        """Run until `stop`; return when the board is ready."""
        if self.relay:
            await self._start_relay()
        self.tasks += [asyncio.ensure_future(part.run()) for part in (self.feed, self.board)]
        await self.wait_open()

    async def _start_relay(self):
        timeout = {name: self.feed_options[name] for name in ("call_timeout",) if name in self.feed_options}
        follower = Follower(self.client, self.name, self.events, on_restart=self.restarts.append, **timeout)
        supervisor_end, worker_end = socket.socketpair()
        self.tasks = [
            asyncio.ensure_future(part) for part in (follower.run(), serve_events(supervisor_end, self.events))
        ]
        self.relayed = await RelayedEvents.from_socket(worker_end)
        self.feed = self._make_feed(source=self.relayed)

    async def wait_open(self):
        async with asyncio.timeout(30):
            await self.board.wait_ready()
            await self.feed.wait_open()

    async def stop(self):
        await cancel_and_wait(*self.tasks)
        assert all(task.cancelled() for task in self.tasks), [t.exception() for t in self.tasks if not t.cancelled()]
        if self.relayed is not None:
            await self.relayed.close()
        await self.store.close()
        await maybe_await(self.client.close())

    async def score(self, user, points):
        return await self.store.apply(Action(user, points, None, b"f", Profile(), create_player=True))

    async def scores(self):
        """The scores of the players on the board, read from the database."""
        with MongoClient(self.uri) as client:
            found = client[self.name]["players"].find({"hidden": {"$ne": True}}, {"score": 1})
            return [row["score"] for row in found]

    async def is_consistent(self):
        """Whether every rank, the number of players and the top 10 equal those of the database."""
        scores = await self.scores()
        board = self.board
        if not board.ready or board.total != len(scores):
            return False
        ranks = all(board.rank(score) == 1 + sum(other > score for other in scores) for score in set(scores))
        top = [standing.player.score for standing in board.top.standings]
        return ranks and top == sorted(scores, reverse=True)[:10]

    async def wait_consistent(self):
        await eventually(self.is_consistent, 20, "the board equals the database")


@asynccontextmanager
async def open_board_harness(uri, name, driver="pymongo", *, start=True, **feed_options):
    """Run a `BoardHarness`; `feed_options` are arguments of the harness."""
    harness = BoardHarness(uri, name, driver, **feed_options)
    await indexes.ensure(harness.client, name)
    try:
        if start:
            await harness.start()
        yield harness
    finally:
        await harness.stop()
