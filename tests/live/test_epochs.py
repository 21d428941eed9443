"""A view of a period: it moves on to a later epoch, and shows nothing of an earlier one."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.live.test_views import INTERVAL, RecordingListener
from tests.support.wait import eventually
from tornado_app.core.interfaces import Change, ScoreSnapshot
from tornado_app.core.model import Player, TopPlayers, standings
from tornado_app.live.views import LiveView, Progress


class Period:
    """A running view in epoch 1, of alice with 30 and bob with 20 points, on scores by epoch."""

    def __init__(self):
        self.scores = {1: {"alice": 30, "bob": 20}}
        self.version = 5
        self.answer = asyncio.Event()
        self.answer.set()
        self.listener = RecordingListener()
        self.view = LiveView(self.top, self.listener, Progress(), interval=INTERVAL)

    async def top(self):
        epoch, version = self.view.epoch, self.version
        order = sorted(self.scores.get(epoch, {}).items(), key=lambda item: -item[1])
        await self.answer.wait()
        return TopPlayers(version, standings([Player(user, score, 0, user) for user, score in order]), epoch)

    def put(self, user, score, epoch):
        scores = self.scores.setdefault(epoch, {})
        old, scores[user] = scores.get(user), score
        self.version += 1
        self.view.on_change(Change(user, old, score, self.version, 1, epoch=epoch))

    def shown(self):
        return [standing.player.user_id for standing in self.view.top.standings]


@pytest.fixture
async def period():
    period = Period()
    running = asyncio.ensure_future(period.view.run())
    period.view.on_snapshot(ScoreSnapshot([(30, 1), (20, 1)], period.version, 1, epoch=1))
    await period.view.wait_ready()
    yield period
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_new_epoch_shows_an_empty_board_and_stays_ready(period):
    period.view.begin(2)
    period.version += 1
    assert period.view.ready
    assert (period.view.total, period.view.rank(10)) == (0, 1)
    await eventually(lambda: period.shown() == [])
    assert period.listener.tops == [["alice", "bob"], []]


async def test_event_of_a_later_epoch_begins_it(period):
    period.put("bob", 4, epoch=2)
    assert (period.view.epoch, period.view.total, period.view.rank(3)) == (2, 1, 2)
    await eventually(lambda: period.shown() == ["bob"])


async def test_event_of_an_earlier_epoch_changes_nothing(period):
    period.put("bob", 4, epoch=2)
    revision = period.view.revision
    period.put("carol", 99, epoch=1)
    period.view.begin(1)
    assert (period.view.epoch, period.view.total, period.view.revision) == (2, 1, revision)


async def test_top_10_that_was_read_in_the_epoch_before_is_not_shown(period):
    period.answer.clear()
    period.put("carol", 25, epoch=1)
    await asyncio.sleep(2 * INTERVAL)  # the read is under way
    period.put("bob", 4, epoch=2)
    period.answer.set()
    await eventually(lambda: period.shown() == ["bob"])
    assert period.listener.tops == [["alice", "bob"], ["bob"]]


async def test_empty_board_waits_for_a_version_of_its_own(period):
    period.view.begin(2)
    await asyncio.sleep(3 * INTERVAL)
    assert period.listener.tops == [["alice", "bob"]]
    period.version += 1
    await eventually(lambda: period.listener.tops == [["alice", "bob"], []])


async def test_rank_of_a_player_who_was_better_in_the_epoch_before(period):
    period.put("alice", 31, epoch=1)
    period.put("bob", 4, epoch=2)
    period.put("alice", 3, epoch=2)
    assert period.view.rank_of("alice", 3) == 2
    assert period.view.next_score("alice", 3) == 4


async def test_score_below_the_former_top_10_is_shown_though_it_came_while_the_empty_board_was_read(period):
    for number in range(8):
        period.put(f"p{number}", 100 + number, epoch=1)
    await eventually(lambda: len(period.shown()) == 10)
    period.answer.clear()
    period.version += 1
    period.view.begin(2)
    await asyncio.sleep(3 * INTERVAL)  # the read is under way
    period.put("bob", 4, epoch=2)
    period.answer.set()
    await eventually(lambda: period.shown() == ["bob"])
