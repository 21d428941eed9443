"""Readiness: each reason alone and together, and its end."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.support.wait import eventually
from tornado_app.core.boards import MAIN_VIEW, Board, View
from tornado_app.core.errors import DatabaseError
from tornado_app.core.model import Player, TopPlayers, standings
from tornado_app.mongo.client.cluster_time import wall_clock
from tornado_app.observability.metrics import Metrics
from tornado_app.service.health import MAX_LAG, Health, Propagation


class Boards(list):
    """The served boards, whose readiness a test sets."""

    ready = True


def served(name, players):
    return SimpleNamespace(definition=Board(name), live=SimpleNamespace(total=players))


class Feed:
    """A feed whose lag and database a test sets."""

    def __init__(self):
        self.lag, self.answers, self.probes = 0.1, True, 0

    async def probe(self):
        self.probes += 1
        if not self.answers:
            raise DatabaseError


class HealthHarness:
    def __init__(self):
        self.boards, self.feed, self.metrics = Boards([served("main", 42)]), Feed(), Metrics()
        self.health = Health(self.boards, self.feed, self.metrics, ping_interval=0.01)

    def metric(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"leaderboard_{name}", labels)


@pytest.fixture
async def harness():
    harness = HealthHarness()
    running = asyncio.ensure_future(harness.health.run())
    yield harness
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_health_without_faults_is_ready(harness):
    await eventually(lambda: harness.feed.probes > 2)
    assert harness.health.reasons() == []


async def test_health_of_an_unreachable_database_is_not_ready(harness):
    harness.feed.answers = False
    await eventually(harness.health.reasons)
    assert harness.health.reasons() == ["the database does not answer"]
    harness.feed.answers = True
    await eventually(lambda: not harness.health.reasons())


async def test_health_of_a_broken_or_lagging_stream_is_not_ready(harness):
    harness.feed.lag = MAX_LAG
    assert harness.health.reasons() == []
    for lag in (MAX_LAG + 0.1, float("inf")):
        harness.feed.lag = lag
        assert harness.health.reasons() == ["the change stream is down or behind"]


async def test_health_without_a_snapshot_is_not_ready(harness):
    harness.boards.ready = False
    assert harness.health.reasons() == ["the ranks are being read"]


async def test_health_reports_draining_with_all_other_reasons(harness):
    harness.health.draining = True
    assert harness.health.reasons() == ["draining"]
    harness.feed.answers, harness.feed.lag, harness.boards.ready = False, float("inf"), False
    await eventually(lambda: len(harness.health.reasons()) == 4)


async def test_health_updates_the_gauges_for_a_scrape(harness):
    harness.feed.lag = 1.5
    harness.health.refresh()
    assert (harness.metric("change_stream_lag_seconds"), harness.metric("ranked_players", board="main")) == (1.5, 42)
    harness.feed.lag = float("inf")
    harness.health.refresh()
    assert harness.metric("change_stream_lag_seconds") == float("inf")


async def test_health_has_a_gauge_for_each_served_board_only(harness):
    harness.boards.append(served("kart", 3))
    harness.health.refresh()
    assert [harness.metric("ranked_players", board=name) for name in ("main", "kart")] == [42, 3]
    del harness.boards[1]
    harness.health.refresh()
    assert [harness.metric("ranked_players", board=name) for name in ("main", "kart")] == [42, None]


async def test_health_reports_a_blocked_loop_once(harness):
    await asyncio.sleep(0.05)
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.5
    while loop.time() < end:  # hold the loop up, as a long computation would
        pass
    await asyncio.sleep(0.15)
    harness.health.refresh()
    blocked = harness.metric("event_loop_lag_seconds")
    assert blocked > 0.3
    await asyncio.sleep(0.15)
    harness.health.refresh()
    assert harness.metric("event_loop_lag_seconds") < blocked


def top(*moments):
    return TopPlayers(1, standings([Player(f"p{number}", 1, at, "") for number, at in enumerate(moments)]))


def test_propagation_counts_only_updates_newer_than_all_shown():
    seconds, now = [], wall_clock()
    propagation = Propagation(seconds.append)
    propagation.shown(MAIN_VIEW, top(now - 9000))
    assert seconds == []  # it was there before
    propagation.shown(MAIN_VIEW, top(now - 9000, now - 2000))
    propagation.shown(MAIN_VIEW, top(now - 9000))  # a player was hidden
    propagation.shown(MAIN_VIEW, top())
    propagation.shown(MAIN_VIEW, top(now - 2000))
    assert len(seconds) == 1
    assert 2.0 <= seconds[0] < 60.0


def test_propagation_counts_the_updates_of_each_view():
    seconds, now = [], wall_clock()
    propagation = Propagation(seconds.append)
    propagation.shown(MAIN_VIEW, top(now))
    propagation.shown(View("kart"), top(now - 9000))
    propagation.shown(View("kart"), top(now - 2000))
    assert len(seconds) == 1
