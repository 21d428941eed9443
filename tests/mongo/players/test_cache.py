"""The player cache saves reads, decides nothing, and drops a player as soon as something else happened."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tracemalloc
from random import Random

import pytest
from bson import Timestamp

from tests.support.drivers import DRIVERS
from tests.support.fail_points import failing_commands
from tests.support.ledger_harness import NullListener
from tests.support.wait import eventually
from tornado_app.core.boards import MAIN, Board, Order, Rule
from tornado_app.core.decide import PlayerState
from tornado_app.core.errors import PlayerNotFound, PlayerSuspended, RateLimited, SuspiciousActivity
from tornado_app.core.history import History, HistoryEntry, WriteKind, encode
from tornado_app.core.model import Action, Profile
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.mongo.change_stream.events import METADATA, PROFILE, decode
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.ledger.writer import LedgerWriter
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.cache import ENTRY_BYTES, PLAYER_BYTES, CacheMemory, PlayerCache
from tornado_app.mongo.players.documents import state_of
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore
from tornado_app.runtime.tasks import cancel_and_wait

NOW = 1_800_000_000_000
POLICY = WritePolicy(limit=RateLimit(updates=3, window=60))
CAPPED = WritePolicy(limit=RateLimit(updates=3, window=60), max_points=20)
PATIENCE = 20.0


def action(user="alice", points=5, action_id=None, *, create_player=True):
    return Action(user, points, action_id, b"f", Profile(), create_player)


# -- events of the change stream -----------------------------------------------------------------------


ALICE = {"ns": {"coll": "players"}, "documentKey": {"_id": "alice"}, "clusterTime": Timestamp(1_800_000_000, 1)}


def event(kind="update", player="alice", removed=(), **fields):
    description = {"updatedFields": fields, "removedFields": list(removed)}
    return {**ALICE, "operationType": kind, "documentKey": {"_id": player}, "updateDescription": description}


def written_entry(seq, kind=WriteKind.ACTION, *, on_board=True):
    return encode(HistoryEntry(kind, 5, f"w.{seq}", NOW + seq, 150, id=f"a-{seq}", on_board=on_board))


def written(seq, kind=WriteKind.ACTION, score=15, *, on_board=True):
    return event(seq=seq, score=score, **{f"h.{seq}": written_entry(seq, kind, on_board=on_board)})


def send(cache, raw_event):
    decoded = decode(raw_event)
    cache.on_event(
        decoded.player,
        decoded.kind,
        decoded.seq,
        decoded.score,
        decoded.entries,
        decoded.slots,
        profile_only=decoded.touched == PROFILE,
        metadata=bool(decoded.touched & METADATA),
    )


def state(entries=1, score=10):
    numbers = range(entries, 0, -1)
    history = History.of(numbers, [HistoryEntry(WriteKind.ACTION, 5, f"w.{n}", id=f"id-{n}") for n in numbers])
    return PlayerState(seq=7, score=score, history=history)


@pytest.fixture
def cache():
    found = PlayerCache(CacheMemory(max_players=3, chance=lambda: 0.0))
    found.put("alice", state())
    return found


INSERTED = {**ALICE, "operationType": "insert", "fullDocument": {"seq": 1, "score": 10}}
KEPT = {
    "the write that it has": written(7),
    "an older write": written(6),
    "its insert": INSERTED,
    "a new name": event(username="Zoë"),
    "a removed name": event(removed=["username"]),
    "another player": event(player="bob", score=1),
}
DROPPED = {
    "a write after the next one": written(9),
    "the next write with another score": written(8, score=16),
    "the next write on a hidden player": written(8, on_board=False),
    "the next write in no order": event(seq=8, score=20, **{"h.8": written_entry(8), "h.7": written_entry(7)}),
    "moderation": written(8, WriteKind.TAKE_BACK),
    "a malformed number": event(seq="nonsense", score=15),
    "a score alone": event(score=12),
    "a history entry alone": event(**{"h.3": "x"}),
    "no watched field": event(),
    "a removed number": event(removed=["seq"]),
    "another insert": {**INSERTED, "fullDocument": {"seq": 8, "score": 10}},
    "a replacement": {**ALICE, "operationType": "replace", "fullDocument": {"seq": 7}},
    "a delete": {**ALICE, "operationType": "delete"},
}


@pytest.mark.parametrize("raw_event", KEPT.values(), ids=KEPT)
def test_player_cache_keeps_a_player_after_an_irrelevant_event(cache, raw_event):
    send(cache, raw_event)
    assert cache.pop("alice").score == 10


@pytest.mark.parametrize("raw_event", DROPPED.values(), ids=DROPPED)
def test_player_cache_drops_a_player_after_an_external_event(cache, raw_event):
    send(cache, raw_event)
    assert cache.pop("alice") is None


def test_player_cache_follows_the_actions_of_another_process(cache):
    folded = event(seq=9, score=20, **{"h.8": written_entry(8), "h.9": written_entry(9)})
    for raw_event, seqs in ((folded, [9, 8]), (written(10, score=25), [10, 9, 8])):  # the first one is too old
        send(cache, raw_event)
        send(cache, raw_event)  # an event that comes twice changes nothing
        after = cache.pop("alice")
        assert (after.seq, after.score, after.history.seqs.tolist()) == (seqs[0], 5 * (seqs[0] - 5), seqs)
        assert all(after.history.may_contain(f"a-{seq}") for seq in seqs)
        cache.put("alice", after)


def test_player_cache_is_bounded_in_bytes_while_it_follows():
    memory = CacheMemory(max_bytes=2 * (PLAYER_BYTES + ENTRY_BYTES), chance=lambda: 0.0)
    cache = PlayerCache(memory)
    for name in ("alice", "bob"):
        cache.put(name, state())
    for seq in (8, 9):
        send(cache, written(seq, score=5 * seq - 25))
    assert len(memory.players) == 1


@pytest.mark.parametrize(("players", "entries"), [(1000, 0), (1000, 20), (100, 2000)])
def test_player_cache_is_bounded_in_bytes(players, entries):
    """Measured with all that a state refers to; the entries themselves are not kept."""
    memory = CacheMemory(max_players=players, max_bytes=2_000_000, chance=lambda: 0.0)
    cache = PlayerCache(memory)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(players):
            cache.put(f"player-{number}", state(entries))
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(memory.players) >= 1
    assert held < 1.1 * 2_000_000
    assert held > 0.5 * 2_000_000 or len(memory.players) == players
    assert cache.pop(f"player-{players - 1}").history.entries is None


def test_player_cache_is_bounded_in_players_and_pops_once(cache):
    for name in ("bob", "carol", "dave"):
        cache.put(name, state())
    assert cache.pop("alice") is None
    assert cache.pop("dave") is not None
    assert cache.pop("dave") is None
    cache.clear()
    assert [cache.pop(name) for name in ("bob", "carol")] == [None, None]


def test_player_caches_of_several_boards_share_the_memory_and_no_state():
    memory = CacheMemory(max_players=3, chance=lambda: 0.0)
    main, kart, golf = (PlayerCache(memory, board) for board in ("main", "kart", "golf"))
    for score, cache in enumerate((main, kart, golf)):
        cache.put("alice", state(score=score))
    send(kart, event("delete"))
    assert [cache.pop("alice") and score for score, cache in enumerate((main, kart, golf))] == [0, None, 2]
    assert (memory.players, memory.used) == ({}, 0)
    for cache in (main, kart, golf, kart):
        cache.put("alice", state())
    main.put("bob", state())
    assert main.pop("alice") is None, "the one that was used first, on whichever board"
    kart.clear()
    assert [cache.pop(name) is None for cache, name in ((kart, "alice"), (golf, "alice"), (main, "bob"))] == [
        True, False, False,
    ]  # fmt: skip


def test_player_cache_keeps_a_part_of_more_players_than_fit_while_they_take_turns():
    """If each replaced the oldest, every player would be dropped before its next turn."""
    memory = CacheMemory(max_players=100, chance=Random(1).random)
    cache = PlayerCache(memory)
    found = 0
    for turn in range(4000):
        name = f"player-{turn % 200}"
        found += cache.pop(name) is not None
        cache.put(name, state())
    assert len(memory.players) == 100
    assert 0.4 < found / 4000 < 0.5


# -- the store, on a real mongod -----------------------------------------------------------------------


class CommandMetrics:
    """Records the names of the commands that were answered."""

    def __init__(self):
        self.names = []

    def __call__(self, name, seconds):
        if name in ("update", "find", "findAndModify"):
            self.names.append(name)

    def since(self):
        found, self.names = self.names, []
        return found


@pytest.fixture
def commands():
    return CommandMetrics()


@pytest.fixture(params=DRIVERS)
async def client(request, mongo_database, commands):
    uri, name = mongo_database
    client = connect(uri, request.param, observe=commands)
    await indexes.ensure(client, name)
    yield client
    await maybe_await(client.close())


@pytest.fixture
async def make_store(client, mongo_database):
    made = []

    def make(policy=POLICY, clock=lambda: NOW, board=MAIN):
        made.append(MongoStore(client, mongo_database[1], board=board, policy=policy, clock=clock))
        return made[-1]

    yield make
    for store in made:
        await store.close()


async def scores(store, *actions):
    return [receipt.score for receipt in await asyncio.gather(*(store.apply(each) for each in actions))]


@contextlib.asynccontextmanager
async def following(store, client, name):
    feed = Feed(client, name, NullListener(), boards={MAIN: store.cache})
    task = asyncio.create_task(feed.run())
    try:
        await feed.wait_open()
        yield feed
    finally:
        await cancel_and_wait(task)


async def test_store_does_not_read_a_cached_player_again(make_store, commands):
    store = make_store()
    await scores(store, action("alice"), action("bob"), action("carol"))
    commands.since()
    assert await scores(store, action("alice", 1), action("bob", 2)) == [6, 7]
    assert commands.since() == ["update"]
    assert await scores(store, action("alice", 1)) == [7]
    assert commands.since() == ["update"]


async def test_store_answers_concurrent_updates_of_one_player_separately(make_store):
    store = make_store()
    await scores(store, action())
    both = [action("bob"), action(points=1), action(points=1)]
    receipts = await asyncio.gather(*map(store.apply, both))
    found = sorted((receipt.score, receipt.superseded_at is not None) for receipt in receipts)
    assert found == [(5, False), (6, True), (7, False)]


async def test_store_reads_only_the_refused_player_of_a_batch(make_store, commands):
    store, names = make_store(), ["bob", "carol", "dave"]
    for _ in range(3):
        await scores(store, action("alice"))
    await scores(store, *map(action, names))
    commands.since()
    all_of_them = [action(name) for name in ("alice", *names)]
    found = await asyncio.gather(*map(store.apply, all_of_them), return_exceptions=True)
    assert isinstance(found[0], RateLimited)
    assert [receipt.score for receipt in found[1:]] == [10, 10, 10]
    assert sorted(commands.since()) == ["find", "update"]  # alice, and three that are known


@pytest.mark.parametrize("at_once", [1, 2])
async def test_store_counts_writes_of_another_store(make_store, at_once):
    one, other = make_store(), make_store()
    names = ["alice", "bob"][:at_once]
    await scores(one, *map(action, names))
    await scores(other, *(action(name, 7) for name in names))
    assert await scores(one, *(action(name, 1) for name in names)) == [13] * at_once
    with pytest.raises(RateLimited):
        await one.apply(action())


async def test_store_counts_an_id_of_another_store_once(make_store):
    one, other = make_store(), make_store()
    await scores(one, action(), action("bob"))
    await scores(other, action(action_id="a"))
    receipts = await asyncio.gather(one.apply(action(action_id="a")), one.apply(action("bob", 1)))
    assert [(each.score, each.replayed) for each in receipts] == [(10, True), (6, False)]


async def test_store_refuses_a_player_suspended_since_it_was_cached(make_store, client, mongo_database):
    store = make_store()
    database = client[mongo_database[1]]
    moderation = MongoModeration(client, mongo_database[1], Ledger(database))
    await scores(store, action())
    await moderation.suspend(ModerationRequest("alice", "mod", "cheats"))
    with pytest.raises(PlayerSuspended):
        await store.apply(action())


@pytest.mark.parametrize(
    ("change", "error"), [({"$set": {"suspended": True}}, PlayerSuspended), ({"$set": {"score": 100}}, None)]
)
async def test_store_sees_external_writes_to_score_and_suspension(make_store, client, mongo_database, change, error):
    store = make_store()
    await scores(store, action())
    await client[mongo_database[1]]["players"].update_one({"_id": "alice"}, change)
    if error is None:
        assert await scores(store, action()) == [105]
    else:
        with pytest.raises(error):
            await store.apply(action())


async def test_store_sees_an_external_write_to_recent_after_its_event(make_store, client, mongo_database):
    store = make_store()
    await scores(store, action())
    async with following(store, client, mongo_database[1]) as feed:
        used = encode(HistoryEntry(WriteKind.ACTION, 7, "hand", NOW, id="a", fingerprint=b"f"))
        await client[mongo_database[1]]["players"].update_one({"_id": "alice"}, {"$set": {"h.0": used}})
        await feed.caught_up()
        assert (await store.apply(action(action_id="a"))).replayed


async def test_feed_skips_a_document_without_a_user_id(make_store, client, mongo_database):
    store = make_store()
    async with following(store, client, mongo_database[1]) as feed:
        await client[mongo_database[1]]["players"].insert_one({"_id": {"a": 1}})
        await feed.caught_up()


async def test_store_detects_an_action_and_its_reversal_by_another_process(make_store, client, mongo_database):
    """Another process writes and reverses an action during an update of this store; then its id is used again."""
    store, other = make_store(), make_store()
    database = client[mongo_database[1]]
    moderation = MongoModeration(client, mongo_database[1], Ledger(database))
    writer = LedgerWriter(client, mongo_database[1])

    async def opened():
        return await database["leases"].find_one({"initialised": True})

    writing = asyncio.create_task(writer.run())
    try:
        await scores(store, action(points=1), action("bob"))
        await eventually(opened, PATIENCE, "the ledger is opened")
        async with following(store, client, mongo_database[1]) as feed:
            state = store.cache.pop("alice")  # as during an update of this store
            await scores(other, action(points=7, action_id="w-1"))
            await moderation.take_back(ModerationRequest("alice", "mod", "undo"), action_id="w-1", since=None)
            await feed.caught_up()
            store.cache.put("alice", state)
            await scores(other, action(points=1, action_id="w-2"))
            await feed.caught_up()
            assert (await store.apply(action(points=7, action_id="w-1"))).replayed
    finally:
        await writer.close()
        await cancel_and_wait(writing)


@pytest.mark.parametrize("last", [0, 1])
async def test_store_keeps_an_id_for_the_longest_retention_of_any_writer(make_store, client, mongo_database, last):
    """As in a rolling update that lowers `rate_limit` or `proof_lifetime`, or raises it."""
    now = [NOW]
    limit = RateLimit(updates=30, window=60)
    policies = [WritePolicy(limit, retention) for retention in (120, 300)]
    stores = [make_store(policy, clock=lambda: now[0]) for policy in policies]
    await scores(stores[1], action(action_id="first"))
    for turn in range(8):
        now[0] += 35_000
        await scores(stores[turn % 2], action())
    assert now[0] == NOW + 280_000
    for store in (stores[last], stores[1 - last]):
        assert (await store.apply(action(action_id="first"))).replayed
    now[0] = NOW + 300_001
    await scores(stores[0], action())
    assert not (await stores[0].apply(action(action_id="first"))).replayed


async def test_store_does_not_know_a_deleted_player(make_store, client, mongo_database):
    store = make_store()
    await scores(store, action())
    await client[mongo_database[1]]["players"].delete_one({"_id": "alice"})
    with pytest.raises(PlayerNotFound):
        await store.apply(action(create_player=False))
    assert (await store.apply(action())).created


async def test_store_applies_limit_and_history_to_a_cached_player(make_store, commands):
    now = [NOW]
    store = make_store(clock=lambda: now[0])
    for number in range(3):
        await store.apply(action(action_id=f"a-{number}"))
    with pytest.raises(RateLimited) as caught:
        await store.apply(action())
    assert caught.value.retry_after == 60
    now[0] += 60_000
    commands.since()
    receipt = await store.apply(action(action_id="b"))
    assert (receipt.score, receipt.rate_limit_state.remaining, commands.since()) == (20, 2, ["update"])
    replay = await store.apply(action(action_id="a-1"))
    assert (replay.score, replay.replayed) == (10, True)


async def test_store_applies_the_points_cap_to_a_cached_player(make_store, commands):
    store = make_store(CAPPED)
    await store.apply(action(points=10))
    await store.apply(action(points=5))
    commands.since()
    with pytest.raises(SuspiciousActivity):
        await store.apply(action(points=6))
    assert commands.since() == ["find"]
    assert (await store.apply(action(points=5))).score == 20


LOST = {
    "before the write": {"closeConnection": True},
    "after the write": {"writeConcernError": {"code": 91, "errmsg": "the primary is shutting down"}},
}


@pytest.mark.parametrize("how", LOST.values(), ids=LOST)
async def test_store_counts_an_update_with_a_lost_response_once(make_store, replica_set, how):
    """Twice, so that the driver's own repetition does not help either."""
    store = make_store()
    await scores(store, action(), action("bob"))
    async with failing_commands(replica_set, "update", until=2, **how):
        assert await scores(store, action(points=1), action("bob", 1)) == [6, 6]
    assert await scores(store, action(points=1)) == [7]


async def test_store_writes_a_player_that_another_process_wrote_without_a_read(
    make_store, client, mongo_database, commands
):
    one, other = make_store(), make_store()
    await scores(one, action(), action("bob"))
    async with following(one, client, mongo_database[1]) as feed:
        await scores(other, action(points=7, action_id="theirs"))
        await feed.caught_up()
        commands.since()
        receipt = await one.apply(action(points=1))
        assert (receipt.score, receipt.rate_limit_state.remaining, commands.since()) == (13, 0, ["update"])
        assert (await one.apply(action(points=7, action_id="theirs"))).replayed
        await client[mongo_database[1]]["players"].update_one({"_id": "bob"}, {"$set": {"score": 50}})
        await eventually(lambda: len(list(one.cache)) < 2, PATIENCE, "an external write drops the player")
    assert await scores(one, action("bob")) == [55]


@pytest.mark.parametrize(
    "board", [MAIN, Board("main", Rule.BEST, Order.ASCENDING), Board("main", Rule.LAST)], ids=lambda board: board.rule
)
async def test_followed_states_are_those_of_the_database(make_store, client, mongo_database, board):
    """Two processes write the same players in turns, with entries that expire; the states are compared at the end."""
    now, limit = [NOW], RateLimit(updates=5, window=60)
    stores = [make_store(WritePolicy(limit, retention), board=board, clock=lambda: now[0]) for retention in (120, 180)]
    chance = Random(3)
    async with (
        following(stores[0], client, mongo_database[1]) as first,
        following(stores[1], client, mongo_database[1]) as second,
    ):
        for turn in range(60):
            now[0] += chance.choice([0, 1_000, 40_000])
            actions = [
                Action(
                    chance.choice(["alice", "bob"]),
                    chance.randint(1, 9),
                    f"{turn}-{n}",
                    b"f",
                    Profile(),
                    create_player=True,
                    metadata=chance.choice([None, "{}"]),
                )
                for n in range(3)
            ]
            await asyncio.gather(*(chance.choice(stores).apply(each) for each in actions), return_exceptions=True)
            await first.caught_up()
            await second.caught_up()
        found = 0
        async for document in client[mongo_database[1]]["players"].find():
            stored = state_of(document)
            for store in stores:
                cached = store.cache.pop(document["_id"])
                if cached is not None:
                    found += 1
                    assert (cached.seq, cached.score, cached.updated_at) == (
                        stored.seq,
                        stored.score,
                        stored.updated_at,
                    )
                    assert cached.metadata or not stored.metadata
                    for name in ("seqs", "kinds", "ids", "points", "times", "retentions"):
                        assert getattr(cached.history, name) == getattr(stored.history, name)
        assert found >= 3
