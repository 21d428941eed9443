"""The views of periods: from the store's writes, by the change stream and by snapshots, on a real mongod."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from tests.support.board_harness import ROOMY, RecordingView
from tests.support.wait import eventually
from tornado_app.core.boards import Board, Order, Rule, View
from tornado_app.core.errors import ActionNotFound, PlayerNotFound
from tornado_app.core.model import Action, Profile, ProfileChange
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.periods import Period
from tornado_app.core.slots import OpenEpoch, OpenEpochs
from tornado_app.live.views import LiveViews, Progress
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.change_stream.rank_check import RankCheck
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.ledger.writer import LedgerWriter
from tornado_app.mongo.players import moderation
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore
from tornado_app.runtime.tasks import cancel_and_wait

PERIODS = ("weekly", "season")


class Periods:
    """A board with two periods, whose open epochs the test sets, its store, its feed and its views."""

    def __init__(self, uri, name, rule=Rule.SUM, order=Order.DESCENDING):
        self.client = connect(uri)
        self.database = self.client[name]
        self.epochs = dict.fromkeys(PERIODS, 1)
        self.board = Board("main", rule, order, periods=tuple(map(Period, PERIODS)))
        self.store = MongoStore(self.client, name, board=self.board, policy=ROOMY, epochs=self.open_epochs)
        self.moderation = MongoModeration(self.client, name, Ledger(self.database, page=4), board=self.board)
        self.writer = LedgerWriter(self.client, name)
        self.progress = Progress()
        options = {"order": order}
        self.views = {None: RecordingView(self.store.top, self.progress, view=View("main"), **options)}
        for period in PERIODS:
            self.views[period] = RecordingView(self._top(period), self.progress, view=View("main", period), **options)
        self.restarts, self.epoch_scores = [], []
        self.feed = Feed(
            self.client,
            name,
            LiveViews(self.views.values(), self.progress),
            boards={self.board: self.store.cache},
            epoch=lambda view: self.epochs[view.period],
            on_restart=self.restarts.append,
            on_epoch_score=lambda view, change: self.epoch_scores.append((view.period, change.epoch, change.user_id)),
        )
        self.check = RankCheck(self.client, name, self.served, self.feed, observe=self.restarts.append)

    def _top(self, period):
        reads = self.store.in_period(period, lambda: self.views[period].epoch)
        return reads.top

    def open_epochs(self):
        epochs = tuple(OpenEpoch(period, number) for period, number in self.epochs.items())
        return OpenEpochs(epochs, round((time.time() + 60) * 1000))

    def served(self):
        return [(self.board, view) for view in self.views.values()]

    async def score(self, user, value, action_id=None):
        return await self.store.apply(Action(user, value, action_id, b"f", Profile(), create_player=True))

    async def moderate(self, verb, user):
        """Hide, show or erase a player, if there is one."""
        with suppress(PlayerNotFound):
            await getattr(self.moderation, verb)(ModerationRequest(user, "mod", "why"))

    async def model(self, period):
        """The scores in the open epoch, as the documents have them."""
        rows = [row async for row in self.database["players"].find({"hidden": {"$ne": True}})]
        if period is None:
            return {row["_id"]: row["score"] for row in rows if "score" in row}
        number = self.views[period].epoch
        slots = {row["_id"]: row["w"][period] for row in rows if period in row.get("w", {})}
        return {user: slot["s"] for user, slot in slots.items() if slot["e"] == number and "s" in slot}

    async def compare(self):
        """Every rank and the top 10 are those of the documents."""
        await self.feed.caught_up()
        better = self.board.order.better
        for period, view in self.views.items():
            scores = await self.model(period)
            assert view.total == len(scores)
            for score in scores.values():
                assert view.rank(score) == 1 + sum(better(other, score) for other in scores.values())
            best = sorted(scores.values(), reverse=self.board.order is Order.DESCENDING)[:10]
            await eventually(lambda view=view, best=best: [s.player.score for s in view.top.standings] == best)


@pytest.fixture
async def make_periods(mongo_database):
    made = []

    async def make(*rule_and_order, with_ledger=False):
        periods = Periods(*mongo_database, *rule_and_order)
        parts = [periods.feed, *periods.views.values(), *([periods.writer] if with_ledger else ())]
        tasks = [asyncio.ensure_future(part.run()) for part in parts]
        made.append((periods, tasks))
        for view in periods.views.values():
            await view.wait_ready()
        await periods.feed.wait_open()
        if with_ledger:
            await periods.writer.caught_up()
        return periods

    yield make
    for periods, tasks in made:
        await periods.writer.close()
        await cancel_and_wait(*tasks)
        await periods.store.close()
        await maybe_await(periods.client.close())


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("rule", Rule)
async def test_views_of_all_periods_follow_one_write(make_periods, rule, order):
    periods = await make_periods(rule, order)
    chance = random.Random(f"{rule}{order}")  # a repeatable order
    for turn in range(60):
        if turn % 20 == 19:
            periods.epochs["weekly"] += 1
        if turn == 30:
            periods.epochs["season"] += 1
        await asyncio.gather(*(periods.score(f"p{chance.randrange(8)}", chance.randrange(1, 40)) for _ in range(3)))
        if turn % 10 == 5:
            await periods.compare()
    await periods.compare()
    assert periods.views["weekly"].epoch == 4
    for view in periods.views.values():
        await periods.check.check(periods.board, view)
    assert periods.restarts == ["agreed"] * 3


@pytest.mark.parametrize("rule", Rule)
async def test_views_of_all_periods_follow_moderation(make_periods, rule):
    periods = await make_periods(rule)
    chance = random.Random(rule)  # a repeatable order
    for turn in range(90):
        if turn % 30 == 29:
            periods.epochs["weekly"] += 1
        user, other = (f"p{number}" for number in chance.sample(range(6), 2))
        await asyncio.gather(
            periods.score(user, chance.randrange(1, 40)),
            periods.moderate(chance.choice(("hide", "hide", "show", "show", "erase")), other),
        )
        if turn % 10 == 5:
            await periods.compare()
    await periods.compare()
    for view in periods.views.values():
        await periods.check.check(periods.board, view)
    assert set(periods.restarts) == {"agreed"}


async def test_player_who_scored_while_hidden_is_shown_with_the_score(make_periods):
    periods = await make_periods()
    await periods.score("alice", 5)
    await periods.moderate("hide", "alice")
    await periods.compare()
    assert [view.total for view in periods.views.values()] == [0, 0, 0]
    periods.epochs["weekly"] = 2
    await periods.score("alice", 3)
    await periods.moderate("show", "alice")
    await periods.compare()
    assert (periods.views["weekly"].epoch, periods.views["weekly"].rank(3)) == (2, 1)
    assert (periods.views["season"].rank(8), periods.views["season"].rank(7)) == (1, 2)
    assert periods.restarts == []


class Submissions:
    """A simple model: all actions that were not taken back, oldest first."""

    def __init__(self, board):
        self.board = board
        self.left = {}
        self.seen = set()

    def add(self, user, action_id, value, epochs):
        self.left[action_id] = user, value, set(epochs.items())
        self.seen |= {(user, epoch) for epoch in epochs.items()}

    def score(self, user, epoch):
        """The score of a player in an epoch; None: there is none."""
        values = [value for of, value, epochs in self.left.values() if of == user and epoch in epochs]
        if self.board.rule is Rule.SUM:
            return sum(values) if (user, epoch) in self.seen else None
        if not values or self.board.rule is Rule.LAST:
            return values[-1] if values else None
        return max(values) if self.board.order is Order.DESCENDING else min(values)

    def scores(self):
        """All scores that there are, by player and epoch."""
        found = {place: self.score(*place) for place in self.seen}
        return {place: score for place, score in found.items() if score is not None}


async def stored_scores(periods):
    """The scores of all epochs in the documents, as `Submissions.scores`."""
    found = {}
    async for row in periods.database["players"].find({}):
        for period, slot in row.get("w", {}).items():
            found |= {(row["_id"], (period, epoch)): score for epoch, score, _ in slot.get("p", ())}
            if "s" in slot:
                found[row["_id"], (period, slot["e"])] = slot["s"]
    return found


@pytest.mark.parametrize(("rule", "order"), [(Rule.SUM, Order.DESCENDING), *((rule, Order.ASCENDING) for rule in Rule)])
async def test_take_back_takes_the_action_out_of_its_epochs(make_periods, monkeypatch, rule, order):
    monkeypatch.setattr(moderation, "LEDGER_SECONDS", 60.0)
    periods = await make_periods(rule, order, with_ledger=True)
    chance, model, users = random.Random(f"{rule}{order}"), Submissions(periods.board), ("alice", "bob", "carol")
    for turn in range(36):
        if turn % 12 == 11:
            periods.epochs["weekly"] += 1
        user, action_id, value = chance.choice(users), f"a-{turn}", chance.randrange(1, 6)
        await periods.score(user, value, action_id)
        model.add(user, action_id, value, periods.epochs)
        if turn % 3 == 2:
            for taken in chance.sample(sorted(model.left), 2):
                user, _, _ = model.left.pop(taken)
                case = ModerationRequest(user, "mod", "why")
                await periods.moderation.take_back(case, action_id=taken, since=None)
            assert await stored_scores(periods) == model.scores()
            await periods.compare()
    for user in users:  # in parts of the ledger's pages
        with suppress(ActionNotFound):
            await periods.moderation.take_back(ModerationRequest(user, "mod", "why"), action_id=None, since=0)
    model.left.clear()
    assert await stored_scores(periods) == model.scores()
    await periods.compare()
    assert set(periods.restarts) <= {"agreed"}


async def test_scores_of_two_processes_in_turn_count_in_every_period(make_periods):
    first, second = await make_periods(), await make_periods()
    for turn in range(12):
        for periods in (first, second):
            periods.epochs["weekly"] = 1 + turn // 4
        await (first, second)[turn % 2].score("alice", 1)
        await first.compare()
        await second.compare()
    document = await first.database["players"].find_one({"_id": "alice"})
    assert (document["w"]["weekly"]["s"], document["w"]["season"]["s"]) == (4, 12)
    assert [(epoch, score) for epoch, score, _ in document["w"]["weekly"]["p"]] == [(1, 4), (2, 4)]


async def test_snapshot_has_a_later_epoch_than_the_known_one(make_periods):
    periods = await make_periods()
    await periods.score("alice", 5)
    periods.epochs["weekly"] = 2
    await periods.score("bob", 3)
    periods.epochs["weekly"] = 1
    again = await make_periods()
    assert again.views["weekly"].epoch == 2
    await again.compare()


async def test_feed_reports_the_scores_of_actions_in_epochs_and_no_moderation(make_periods):
    periods = await make_periods()
    await periods.score("alice", 5)
    periods.epochs["weekly"] = 2
    await periods.score("bob", 3)
    await periods.moderate("hide", "alice")
    await periods.moderate("show", "alice")
    await periods.store.register("alice", ProfileChange(username="Zoë"))
    await periods.feed.caught_up()
    assert sorted(periods.epoch_scores) == [
        ("season", 1, "alice"),
        ("season", 1, "bob"),
        ("weekly", 1, "alice"),
        ("weekly", 2, "bob"),
    ]


async def test_profile_shows_on_the_views_of_all_periods(make_periods):
    periods = await make_periods()
    await periods.score("alice", 5)
    await periods.store.register("alice", ProfileChange(username="Zoë"))
    for view in periods.views.values():
        await eventually(lambda view=view: [s.player.username for s in view.top.standings] == ["Zoë"])


async def test_slot_of_another_program_begins_the_history_anew(make_periods):
    periods = await make_periods()
    await periods.score("alice", 5)
    slot = {"e": 1, "s": 70, "t": datetime.now(UTC)}
    await periods.database["players"].update_one({"_id": "alice"}, {"$set": {"w.weekly": slot}})
    await eventually(lambda: periods.restarts == ["external_write"])
    await eventually(lambda: periods.views["weekly"].ready and periods.views["weekly"].rank(70) == 1)
    await periods.compare()
