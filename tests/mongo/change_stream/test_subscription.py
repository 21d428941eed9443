"""A change stream shared by feed and ledger: the ledger misses no event when the feed ends or restarts."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from bson import Timestamp

from tests.support.ledger import chains
from tests.support.ledger_harness import open_ledger_harness
from tests.support.wait import eventually
from tornado_app.mongo.change_stream.resume_point import moment
from tornado_app.mongo.change_stream.subscription import Subscription

PATIENCE = 30.0


def test_token_time_is_its_cluster_time():
    assert moment({"_data": "8269292F4B0000000A2B0429"}) == Timestamp(0x69292F4B, 10)
    assert [moment(token) for token in (None, {}, {"_data": 7}, {"_data": "81"})] == [None] * 4


def test_subscription_returns_each_event_once_with_its_resume_token():
    subscription = Subscription({"_data": "0"})
    assert subscription.take() == ([], None)
    subscription.put([1, 2], {"_data": "1"})
    subscription.put([], {"_data": "2"})
    subscription.put([3], None)
    assert subscription.take() == ([1, 2, 3], {"_data": "2"})
    assert subscription.take() == ([], {"_data": "2"})


def test_subscription_closes_at_its_maximum():
    subscription = Subscription({}, max_events=2)
    for number in range(4):
        subscription.put([number], {"_data": str(number)})
    assert subscription.closed
    assert subscription.take() == ([0, 1], {"_data": "1"})


@asynccontextmanager
async def harness_with_feed(mongo_database, **options):
    async with open_ledger_harness(*mongo_database, with_feed=True, **options) as harness:
        await harness.start_writer()
        await eventually(
            lambda: harness.feed._subscription or open_streams(harness) == 2, PATIENCE, "the ledger has begun"
        )
        yield harness


def open_streams(harness):
    """The number of open change streams on the players."""
    stages = [{"$currentOp": {"idleCursors": True}}, {"$match": {"ns": {"$regex": f"^{harness.name}[.]"}}}]
    found = harness.sync.client.admin.aggregate(stages)
    commands = [each.get("cursor", {}).get("originatingCommand", {}) for each in found]
    return sum("$changeStream" in (command.get("pipeline") or [{}])[0] for command in commands)


async def wait_for_one_stream(harness):
    """Wait until the ledger shares the stream of the feed."""

    async def one_stream():
        await harness.score("bob", 1)  # cluster time advances with writes
        # The ledger takes its subscription by itself, and only the feed knows it.
        subscription = harness.feed._subscription
        return subscription is not None and not subscription.closed and open_streams(harness) == 1

    await eventually(one_stream, PATIENCE, "only one stream is open")


async def test_ledger_and_feed_read_one_change_stream(mongo_database):
    async with harness_with_feed(mongo_database) as harness:
        harness.feed.subscribe()  # the ledger's subscription ends
        await eventually(lambda: open_streams(harness) == 2, PATIENCE, "the ledger reads a stream of its own meanwhile")
        await wait_for_one_stream(harness)
        await asyncio.gather(*(harness.score(f"p{n % 7}", n + 1) for n in range(100)))
        await harness.wait_complete()
        await wait_for_one_stream(harness)
        assert sum(len(chain) for name, chain in chains(harness.sync).items() if name != "bob") == 100


async def test_ledger_reads_its_own_stream_while_the_feed_restarts(mongo_database):
    async with harness_with_feed(mongo_database) as harness:
        for _ in range(3):
            await wait_for_one_stream(harness)
            scoring = asyncio.gather(*(harness.score(f"p{n % 7}", n + 1) for n in range(50)))
            harness.feed.request_resync()
            await scoring
            await harness.wait_complete()
        assert harness.sync["ledger"].count_documents({"kind": "action", "player": {"$ne": "bob"}}) == 150


async def test_ledger_reads_its_own_stream_beyond_the_subscriptions_maximum(mongo_database):
    async with harness_with_feed(mongo_database, max_subscribed=3) as harness:
        await wait_for_one_stream(harness)
        subscription = harness.feed._subscription
        await asyncio.gather(*(harness.score(f"p{n % 7}", n + 1) for n in range(200)))
        await eventually(lambda: subscription.closed, PATIENCE, "the subscription is full")
        await harness.wait_complete()
        assert harness.sync["ledger"].count_documents({"kind": "action", "player": {"$ne": "bob"}}) == 200


@pytest.mark.parametrize("kind", ["drop", "rename"])
async def test_subscription_reports_a_dropped_collection_to_the_ledger(mongo_database, kind):
    async with harness_with_feed(mongo_database) as harness:
        await wait_for_one_stream(harness)
        await harness.score()
        await harness.wait_complete()
        if kind == "drop":
            harness.sync["players"].drop()
        else:
            harness.sync["players"].rename("others")
        await harness.score("carol", 9)
        await harness.wait_complete()
