"""A stream that is read by two: by the second from its own place on, without gaps, over every end of the first."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from bson import Timestamp

from tests.mongo.desk import open_desk
from tests.support.ledger import chains
from tests.support.wait import eventually
from tornado_app.mongo.change_stream.subscription import Subscription, moment

PATIENCE = 30.0


def test_token_time_is_its_cluster_time():
    assert moment({"_data": "8269292F4B0000000A2B0429"}) == Timestamp(0x69292F4B, 10)
    assert [moment(token) for token in (None, {}, {"_data": 7}, {"_data": "81"})] == [None] * 4


def test_subscription_returns_each_event_once_with_its_resume_token():
    subscription = Subscription({"_data": "0"})
    assert subscription.take() == ([], None)
    subscription.put({"n": 1}, {"_data": "1"})
    subscription.put(None, {"_data": "2"})
    subscription.put({"n": 3}, None)
    assert subscription.take() == ([{"n": 1}, {"n": 3}], {"_data": "2"})
    assert subscription.take() == ([], {"_data": "2"})


def test_subscription_closes_at_its_maximum():
    subscription = Subscription({}, max_events=2)
    for number in range(4):
        subscription.put({"n": number}, {"_data": str(number)})
    assert subscription.closed
    assert subscription.take() == ([{"n": 0}, {"n": 1}], {"_data": "1"})


@asynccontextmanager
async def tapped(mongo_database, **options):
    async with open_desk(*mongo_database, tapped=True, **options) as desk:
        await desk.begin()
        await eventually(lambda: desk.feed._subscription or streams(desk) == 2, PATIENCE, "the ledger has begun")
        yield desk


def streams(desk):
    """Cursors that wait for changes of the players."""
    stages = [{"$currentOp": {"idleCursors": True}}, {"$match": {"ns": {"$regex": f"^{desk.name}[.]"}}}]
    found = desk.sync.client.admin.aggregate(stages)
    commands = [each.get("cursor", {}).get("originatingCommand", {}) for each in found]
    return sum("$changeStream" in (command.get("pipeline") or [{}])[0] for command in commands)


async def single(desk):
    """Wait until the ledger reads with the feed."""

    async def one_stream():
        await desk.score("bob", 1)  # time goes on by what is written
        subscription = desk.feed._subscription
        return subscription is not None and not subscription.closed and streams(desk) == 1

    await eventually(one_stream, PATIENCE, "one stream is left")


async def test_ledger_and_feed_read_one_change_stream(mongo_database):
    async with tapped(mongo_database) as desk:
        desk.feed.subscribe()  # not the ledger's any more
        await eventually(lambda: streams(desk) == 2, PATIENCE, "the ledger reads a stream of its own meanwhile")
        await single(desk)
        await asyncio.gather(*(desk.score(f"p{n % 7}", n + 1) for n in range(100)))
        await desk.whole()
        await single(desk)
        assert sum(len(chain) for name, chain in chains(desk.sync).items() if name != "bob") == 100


async def test_ledger_reads_its_own_stream_while_the_feed_restarts(mongo_database):
    async with tapped(mongo_database) as desk:
        for _ in range(3):
            await single(desk)
            scoring = asyncio.gather(*(desk.score(f"p{n % 7}", n + 1) for n in range(50)))
            desk.feed.request_resync()
            await scoring
            await desk.whole()
        assert desk.sync["ledger"].count_documents({"kind": "action", "player": {"$ne": "bob"}}) == 150


async def test_ledger_reads_its_own_stream_beyond_the_subscriptions_maximum(mongo_database):
    async with tapped(mongo_database, max_subscribed=3) as desk:
        await single(desk)
        subscription = desk.feed._subscription
        await asyncio.gather(*(desk.score(f"p{n % 7}", n + 1) for n in range(200)))
        await eventually(lambda: subscription.closed, PATIENCE, "the subscription is full")
        await desk.whole()
        assert desk.sync["ledger"].count_documents({"kind": "action", "player": {"$ne": "bob"}}) == 200


@pytest.mark.parametrize("kind", ["drop", "rename"])
async def test_subscription_reports_a_dropped_collection_to_the_ledger(mongo_database, kind):
    async with tapped(mongo_database) as desk:
        await single(desk)
        await desk.score()
        await desk.whole()
        if kind == "drop":
            desk.sync["players"].drop()
        else:
            desk.sync["players"].rename("others")
        await desk.score("carol", 9)
        await desk.whole()
