"""Two boards with one feed and one hub: no write, rank, frame, limit or id of one board shows on the other."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.properties import steps
from tests.properties.answers import answer, board_of, outcome
from tests.properties.checker import START
from tests.properties.model import Model, RateLimitState, Rules, Wanted
from tests.properties.test_store_model import LONG, examples
from tests.support.wait import eventually
from tornado_app.core.boards import View
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.model import Action, Profile, ProfileChange, TopPlayers
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.core.validation import SubmissionValidator
from tornado_app.live.hub import Hub, PersonalUpdate, Subscriber
from tornado_app.live.views import LiveView, LiveViews, Progress
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players.store import MongoStore
from tornado_app.runtime.tasks import cancel_and_wait

PLAYER = "a"
"""The player whose own updates the client of each board receives."""


@dataclass(frozen=True)
class Resync:
    """The feed reads all boards again."""


Step = steps.Submit | steps.Register | steps.Tick | Resync


def rows(top: TopPlayers) -> list[tuple[int, str, int]]:
    return [(standing.rank, standing.player.user_id, standing.player.score) for standing in top.standings]


class Client:
    """A client of one board: its channel and its connection. `tops`, `changes`: what it received."""

    name = "T"

    def __init__(self) -> None:
        self.tops: list[list[tuple[int, str, int]]] = []
        self.changes: list[int] = []

    def message(self, seen: TopPlayers | None, top: TopPlayers) -> bytes:
        return json.dumps({"top": rows(top)}).encode()

    def personal(self, update: PersonalUpdate, version: int) -> bytes:
        return json.dumps({"change": update.change}).encode()

    def send(self, frame: bytes) -> None:
        message = json.loads(frame[2:] if frame[1] < 126 else frame[4:])
        if "top" in message:
            self.tops.append([tuple(row) for row in message["top"]])
        else:
            self.changes.append(message["change"])

    def evict(self, reason: str) -> None:
        raise AssertionError(reason)


class BoardChecker:
    """One board, its client and its model. `states`: the tables that it has had, of which a frame shows one."""

    def __init__(self, name: str, uri: str, database: str, rules: Rules) -> None:
        self.board, self.view, self.now, self.model = board_of(rules, name), View(name), START, Model(rules)
        self.states = [self.model.board()]
        self.connection = connect(uri)
        limits = WritePolicy(RateLimit(rules.updates, rules.window / 1000), rules.retention // 1000, rules.cap)
        self.store = MongoStore(
            self.connection, database, board=self.board, policy=limits, timeout=30, clock=lambda: self.now
        )

    def watch(self, hub: Hub, progress: Progress) -> LiveView:
        topic = hub.topic(self.view)
        self.live = LiveView(self.store.top, topic, progress, view=self.view, order=self.board.order, interval=0.002)
        self.scoreboard = Scoreboard(self.store, self.live, SubmissionValidator())
        self.client = Client()
        subscriber = Subscriber(topic, self.client, self.client)
        hub.identify(subscriber, PLAYER)
        hub.join(subscriber)
        return self.live

    async def play(self, script: list[Step], feed: Feed) -> None:
        for step in script:
            if isinstance(step, Resync):
                feed.request_resync()
            elif isinstance(step, steps.Tick):
                self.now += step.ms
            elif isinstance(step, steps.Register):
                change = ProfileChange() if step.name is None else ProfileChange(step.name)
                found = await outcome(self.store.register(step.user, change))
                created = self.model.register(step.user, step.name, self.now)
                assert created == (type(found).__name__ if isinstance(found, LeaderboardError) else found.created)
            else:
                await self._submit(step.wanted)
            self.states.append(self.model.board())

    async def _submit(self, wanted: Wanted) -> None:
        known = wanted.user in self.model.players
        value, profile = self.model.rules.submitted(wanted.points), Profile(wanted.name)
        action = Action(wanted.user, value, wanted.id, wanted.request, profile, create_player=wanted.create)
        found = await outcome(self.store.apply(action))
        assert answer(found) == self.model.submit(wanted, self.now)
        if known or not isinstance(found, LeaderboardError):
            left = found.rate_limit_state
            expected = self.model.rate_limit_state(wanted.user, self.now)
            assert RateLimitState(left.remaining, round(left.reset * 1000)) == expected

    async def compare(self, *, resynced: bool) -> None:
        """Ranks, reads, top 10 and frames are those of this board's model."""
        table = self.model.board()
        ranks = [rank for rank, _, _ in table]
        await eventually(lambda: self.live.ready and rows(self.live.top) == table, 20, f"the top 10 is {table}")
        await eventually(  # the top 10 is read from the database, and may be ahead of the feed, from which ranks are
            lambda: self.live.total == len(table) and [self.live.rank(score) for _, _, score in table] == ranks,
            20,
            f"the ranks are {ranks}",
        )
        assert [(s.rank, s.player.user_id, s.player.score) for s in await self.scoreboard.page(10, None)] == table
        for rank, user, _ in table:
            assert (await self.scoreboard.standing(user)).rank == rank
        await eventually(lambda: self.client.tops[-1] == table, 20, f"the client has received {table}")
        assert [frame for frame in self.client.tops if frame not in self.states] == []
        own = sum(score for _, user, score in table if user == PLAYER)
        if not resynced:  # changes between two snapshots are not reported
            await eventually(lambda: sum(self.client.changes) == own, 20, f"the client was told of {own} points")

    async def close(self) -> None:
        await self.store.close()
        await maybe_await(self.connection.close())


class Service:
    """Plays scripts on two new boards of one database, at the same time."""

    def __init__(self, uri: str, database: str) -> None:
        self._uri, self._database = uri, database
        self._numbers = count()

    async def play(self, rules: tuple[Rules, Rules], scripts: tuple[list[Step], list[Step]]) -> None:
        number = next(self._numbers)
        boards = [
            BoardChecker(f"{name}{number}", self._uri, self._database, rule)
            for name, rule in zip(("kart", "chess"), rules, strict=True)
        ]
        hub, progress = Hub(gap=0.001), Progress()
        views = LiveViews([board.watch(hub, progress) for board in boards], progress)
        client = boards[0].connection
        caches = {board.board: board.store.cache for board in boards}
        feed = Feed(client, self._database, views, boards=caches)
        tasks = [asyncio.ensure_future(part.run()) for part in (feed, views, hub)]
        try:
            for board in boards:
                await board.live.wait_ready()
            await feed.wait_open()
            await asyncio.gather(*(board.play(script, feed) for board, script in zip(boards, scripts, strict=True)))
            resynced = any(isinstance(step, Resync) for script in scripts for step in script)
            for board in boards:
                await board.compare(resynced=resynced)
        finally:
            await cancel_and_wait(*tasks)
            for board in boards:
                await board.close()
        assert all(task.cancelled() for task in tasks)


@pytest.fixture(scope="module")
def service(module_database):
    """On an event loop of its own, which goes on over all examples."""
    with asyncio.Runner() as runner:
        service = Service(*module_database)
        yield lambda rules, scripts: runner.run(service.play(rules, scripts))


scripts = st.lists(
    st.one_of(
        steps.submits,
        steps.submits,
        steps.submits,
        steps.ticks,
        st.builds(steps.Register, steps.USERS, steps.NAMES, steps.STORES),
        st.builds(Resync),
    ),
    max_size=10,
)

ROOMY = Rules(4, steps.WINDOW, 2 * steps.WINDOW, None)
STRICT = Rules(1, steps.WINDOW, 2 * steps.WINDOW, None)
THE_SAME_ID_TWICE = [steps.Submit(Wanted("a", 5, "x"), 0), steps.Submit(Wanted("a", 5, "x"), 0)]
ANOTHER_REQUEST = [steps.Submit(Wanted("a", 7, "x", b"g"), 0), steps.Submit(Wanted("a", 1), 0)]
"""Of the id of the other board: there it would be a conflict. The second is above this board's limit."""


@pytest.mark.timeout(120 + 2 * LONG)
@example(rules=(ROOMY, STRICT), played=(THE_SAME_ID_TWICE, ANOTHER_REQUEST))
@examples(25)
@given(rules=st.tuples(steps.rules, steps.rules), played=st.tuples(scripts, scripts))
def test_two_boards_of_one_feed_each_equal_their_own_model(service, rules, played):
    service(rules, played)
