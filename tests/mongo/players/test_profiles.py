"""A player's own name and picture win over the token's, and their changes are limited over all processes."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.board_harness import RecordingView
from tests.support.drivers import DRIVERS
from tests.support.wait import eventually
from tornado_app.core.errors import DatabaseError, Overloaded, RateLimited
from tornado_app.core.model import Action, Profile, ProfileChange
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.policies import PROFILE_LIMIT, RateLimit, WritePolicy
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.profiles import MAX_UNDER_WAY
from tornado_app.mongo.players.store import MongoStore
from tornado_app.runtime.tasks import cancel_and_wait

NOW = 1_800_000_000_000
POLICY = WritePolicy(limit=RateLimit(updates=100, window=60))
URL = "https://x.test/{}.png"


class Processes:
    """Two stores on one database, with one clock."""

    def __init__(self, client, name):
        self.now = NOW
        self.client, self.name = client, name
        self.players = client[name]["players"]
        self.one, self.other = (MongoStore(client, name, policy=POLICY, clock=lambda: self.now) for _ in range(2))
        self.moderation = MongoModeration(client, name, Ledger(client[name]))

    async def score(self, name=None, picture=None, user="alice", store=None):
        profile = Profile(name, picture)
        return await (store or self.one).apply(Action(user, 1, None, b"f", profile, create_player=True, frontend="C"))

    async def shown(self, user="alice"):
        player = await self.one.player(user)
        return player.username, player.avatar_url


@pytest.fixture(params=DRIVERS)
async def processes(request, mongo_database):
    uri, name = mongo_database
    client = connect(uri, request.param)
    await indexes.ensure(client, name)
    made = Processes(client, name)
    yield made
    for store in (made.one, made.other):
        await store.close()
    await maybe_await(client.close())


async def score_in_every_path(processes, name, picture=None):
    """Score for alice with a token of this name: cached, uncached, alone and in a batch."""
    for store in (processes.one, processes.one, processes.other):
        await processes.score(name, picture, store=store)
    await asyncio.gather(*(processes.score(name, picture, user) for user in ("alice", "bob", "alice", "carol")))


async def test_own_name_wins_over_the_token_in_every_write_path(processes):
    await score_in_every_path(processes, "Token", URL.format("token"))
    assert await processes.shown() == ("Token", URL.format("token"))
    await score_in_every_path(processes, "Newer", URL.format("newer"))
    assert await processes.shown() == ("Newer", URL.format("newer"))
    await processes.one.register("alice", ProfileChange(username="Own"))
    await score_in_every_path(processes, "Newest", URL.format("newest"))
    assert await processes.shown() == ("Own", URL.format("newest"))
    await processes.other.register("alice", ProfileChange(avatar_url=URL.format("own")))
    await score_in_every_path(processes, "Last", URL.format("last"))
    assert await processes.shown() == ("Own", URL.format("own"))
    assert await processes.shown("bob") == ("Last", URL.format("last"))


async def test_profile_null_removes_and_an_absent_field_keeps(processes):
    await processes.score("Token", URL.format("token"))
    done = await processes.one.register("alice", ProfileChange(avatar_url=None))
    assert (done.player.avatar_url, done.player.username, done.changed) == (None, "Token", ("avatar_url",))
    await score_in_every_path(processes, "Token", URL.format("again"))
    assert await processes.shown() == ("Token", None)
    await processes.one.register("alice", ProfileChange(username=None, avatar_url=URL.format("own")))
    await score_in_every_path(processes, "Token", URL.format("again"))
    assert await processes.shown() == ("alice", URL.format("own"))
    await processes.one.register("alice", ProfileChange())
    assert await processes.shown() == ("alice", URL.format("own"))


async def test_unchanged_profile_makes_no_write(processes):
    await processes.one.register("alice", ProfileChange(username="Own"))
    before = await processes.players.find_one({"_id": "alice"})
    for _ in range(3 * PROFILE_LIMIT.updates):
        done = await processes.one.register("alice", ProfileChange(username="Own"))
        assert (done.created, done.changed) == (False, ())
    assert await processes.players.find_one({"_id": "alice"}) == before


async def test_profile_limit_is_exact_over_processes(processes):
    """The creation counts: of 40 concurrent names over two processes 9 are accepted; the score limit is not used."""
    await processes.one.register("alice", ProfileChange())
    stores = (processes.one, processes.other)
    found = []
    for batch in range(4):
        changes = (ProfileChange(username=f"Name {batch} {n}") for n in range(10))
        attempts = (stores[n % 2].register("alice", change) for n, change in enumerate(changes))
        found += await asyncio.gather(*attempts, return_exceptions=True)
    refused = [each for each in found if isinstance(each, RateLimited)]
    assert len(found) - len(refused) == PROFILE_LIMIT.updates - 1
    assert all(not isinstance(each, Exception) or isinstance(each, RateLimited) for each in found)
    assert refused[0].retry_after == PROFILE_LIMIT.window
    assert refused[0].detail == "the limit 10/60s is used up, the next in 60.0 s"
    assert (await processes.score()).rate_limit_state.remaining == POLICY.limit.updates - 1
    processes.now += PROFILE_LIMIT.window_ms
    assert (await processes.other.register("alice", ProfileChange(username="Later"))).changed


async def test_concurrent_profile_changes_beyond_capacity_are_refused(processes):
    attempts = (processes.one.register(f"p-{n}", ProfileChange()) for n in range(MAX_UNDER_WAY + 8))
    found = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(each) for each in found if isinstance(each, Exception)] == [Overloaded] * 8
    assert (await processes.one.register("p-39", ProfileChange())).created


async def test_concurrent_registrations_create_one_player(processes):
    stores = (processes.one, processes.other)
    attempts = (stores[n % 2].register("alice", ProfileChange(username=f"N{n}")) for n in range(8))
    found = await asyncio.gather(*attempts)
    assert [each.created for each in found].count(True) == 1
    document = await processes.players.find_one({"_id": "alice"})
    assert (document["score"], document["seq"], len(document["h"])) == (0, 8, 8)


async def test_register_during_an_erasure_is_refused(processes):
    await processes.score("Token")
    begun = {"hidden": True, "suspended": True, "erased": True}
    await processes.players.update_one({"_id": "alice"}, {"$set": begun})
    before = await processes.players.find_one({"_id": "alice"})
    with pytest.raises(DatabaseError):
        await processes.one.register("alice", ProfileChange(username="Back"))
    assert await processes.players.find_one({"_id": "alice"}) == before


async def test_erasure_removes_the_own_profile(processes):
    await processes.one.register("alice", ProfileChange(username="Own", avatar_url=None))
    await processes.moderation.erase(ModerationRequest("alice", "mod", "asked"))
    await processes.score("Token", URL.format("token"))
    assert await processes.shown() == ("Token", URL.format("token"))


async def test_hide_and_show_keep_the_own_profile(processes):
    board = RecordingView(processes.one.top)
    feed = Feed(processes.client, processes.name, board.views)
    tasks = [asyncio.ensure_future(part.run()) for part in (feed, board)]
    try:
        await feed.wait_open()
        await board.wait_ready()
        await processes.score("Token")
        await eventually(lambda: [s.player.username for s in board.top.standings] == ["Token"])
        await processes.one.register("alice", ProfileChange(username="Own"))
        await eventually(lambda: [s.player.username for s in board.top.standings] == ["Own"])
        await processes.moderation.hide(ModerationRequest("alice", "mod", "a look"))
        await processes.one.register("alice", ProfileChange(username="Hidden"))
        await processes.score("Token", user="bob")
        await eventually(lambda: [s.player.user_id for s in board.top.standings] == ["bob"])
        await processes.score("Token")  # a write of a hidden player takes another path
        await processes.moderation.show(ModerationRequest("alice", "mod", "it is fine"))
        await eventually(lambda: [s.player.username for s in board.top.standings] == ["Hidden", "Token"])
        assert board.rebuilds == 1
    finally:
        for task in tasks:
            await cancel_and_wait(task)
