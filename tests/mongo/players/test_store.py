"""The store's contract: on PyMongo Async and Motor on a real mongod, and where it can stand in on mongomock-motor."""

import asyncio

import pytest
from bson import Int64, Timestamp

from tests.support.drivers import BOTH_DRIVERS
from tests.support.fail_points import failing_commands
from tornado_app.core.errors import (
    ActionConflict,
    DatabaseError,
    InvalidIncrement,
    Overloaded,
    PlayerNotFound,
    PlayerSuspended,
    RateLimited,
    ShuttingDown,
    SuspiciousActivity,
)
from tornado_app.core.model import MAX_SCORE, Action, Profile, ProfileChange
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.documents import BALANCE_FIELDS, MalformedDocument, last_entry
from tornado_app.mongo.players.group_commit import PendingLimit
from tornado_app.mongo.players.store import MongoStore

LIMIT = RateLimit(updates=3, window=60)
POLICY = WritePolicy(limit=LIMIT)
ROOMY = WritePolicy(limit=RateLimit(updates=1000, window=60))


class Clock:
    """A clock in milliseconds that the test sets."""

    def __init__(self):
        self.now = 1_800_000_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def pytest_generate_tests(metafunc):
    """mongomock-motor stands in only where it can: it has no bulk_write, no `$filter` in `$expr`, no snapshots."""
    if "make_store" in metafunc.fixturenames:
        stand_ins = [] if "real" in metafunc.fixturenames else ["mongomock"]
        metafunc.parametrize("make_store", [*BOTH_DRIVERS, *stand_ins], indirect=True)


class NoSession:
    """mongomock has no sessions and refuses one that is not false. It has no cluster time."""

    operation_time = None

    def __bool__(self):
        return False

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        pass


@pytest.fixture
async def make_store(request, clock):
    """A function that creates stores on one empty database."""
    if request.param == "mongomock":
        from mongomock_motor import AsyncMongoMockClient

        patch = request.getfixturevalue("monkeypatch")
        patch.setattr("mongomock.MongoClient.start_session", lambda client, **options: NoSession())
        client, name = AsyncMongoMockClient(tz_aware=True), "mock"
    else:
        uri, name = request.getfixturevalue("mongo_database")
        client = connect(uri, request.param)
        await indexes.ensure(client, name)
    stores = []

    def make(policy=POLICY, **options):
        batch = 1 if request.param == "mongomock" else 512  # it has no bulk_write with this PyMongo
        store = MongoStore(client, name, policy=policy, clock=clock, **{"max_batch": batch, **options})
        store.client, store.documents = client, client[name]["players"]
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.close()
    await maybe_await(client.close())


@pytest.fixture
def store(make_store):
    return make_store()


@pytest.fixture
def real(make_store):
    """`make_store` with the real drivers only."""
    return make_store


def action(user="alice", points=5, action_id=None, *, create_player=True, fingerprint=b"f", profile=None):
    return Action(user, points, action_id, fingerprint, profile or Profile(), create_player)


async def refusal(awaitable, kind):
    with pytest.raises(kind) as caught:
        await awaitable
    return caught.value


async def test_store_first_action_creates_the_player(store, clock):
    receipt = await store.apply(action(profile=Profile("Zoë", "https://x.test/z.png")))
    assert (receipt.score, receipt.created, receipt.replayed, receipt.updated_at) == (5, True, False, clock.now)
    player = await store.player("alice")
    assert (player.username, player.avatar_url, player.score) == ("Zoë", "https://x.test/z.png", 5)


async def test_store_without_create_player_refuses_an_unknown_player(store):
    error = await refusal(store.apply(action(create_player=False)), PlayerNotFound)
    assert error.rate_limit_state.remaining == 3
    await refusal(store.player("alice"), PlayerNotFound)


async def test_store_adds_points_and_creates_once(store):
    receipts = [await store.apply(action(points=n)) for n in (1, 2, 3)]
    assert [(r.score, r.created) for r in receipts] == [(1, True), (3, False), (6, False)]


async def test_store_replays_the_response_of_a_repeated_id(store, clock):
    first = await store.apply(action(action_id="x"))
    clock.now += 1000
    await store.apply(action(points=10))
    again = await store.apply(action(action_id="x"))
    assert again.replayed
    assert (again.score, again.updated_at, again.created) == (first.score, first.updated_at, True)
    assert (await store.player("alice")).score == 15


async def test_store_refuses_an_id_of_another_request(store):
    await store.apply(action(action_id="x"))
    await refusal(store.apply(action(action_id="x", points=6, fingerprint=b"g")), ActionConflict)
    assert (await store.player("alice")).score == 5


async def test_store_ids_are_scoped_to_a_player(store):
    await store.apply(action("alice", action_id="x"))
    assert not (await store.apply(action("bob", action_id="x"))).replayed


async def test_store_rate_limit_window_slides(store, clock):
    for _ in range(3):
        await store.apply(action())
        clock.now += 10_000
    error = await refusal(store.apply(action()), RateLimited)
    assert error.retry_after == pytest.approx(30)  # the first of three, at 0 s, leaves the window at 60 s
    assert error.rate_limit_state.remaining == 0
    clock.now += 29_999
    await refusal(store.apply(action()), RateLimited)
    clock.now += 1
    assert (await store.apply(action())).score == 20
    assert (await store.player("alice")).score == 20


async def test_store_replays_a_response_beyond_the_rate_limit(store):
    await store.apply(action(action_id="x"))
    for _ in range(2):
        await store.apply(action())
    assert (await store.apply(action(action_id="x"))).replayed


async def test_store_rate_limit_state_counts_down(store, clock):
    states = []
    for _ in range(3):
        states.append((await store.apply(action())).rate_limit_state)
        clock.now += 1000
    assert [(state.remaining, state.reset) for state in states] == [(2, 60), (1, 59), (0, 58)]


async def test_store_id_outlives_its_rate_limit_window(store, clock):
    await store.apply(action(action_id="x"))
    for _ in range(2):
        clock.now += 60_000
        for _ in range(2):
            await store.apply(action())
    assert (await store.apply(action(action_id="x"))).replayed


async def test_store_refuses_a_score_beyond_int64(store):
    await store.register("alice", ProfileChange())
    await store.documents.update_one({"_id": "alice"}, {"$set": {"score": Int64(MAX_SCORE - 5)}})
    await refusal(store.apply(action(points=6)), InvalidIncrement)
    assert (await store.apply(action(points=5))).score == MAX_SCORE
    await refusal(store.apply(action(points=1)), InvalidIncrement)


async def test_store_refuses_a_suspended_player(store):
    await store.apply(action())
    await store.documents.update_one({"_id": "alice"}, {"$set": {"suspended": True}})
    await refusal(store.apply(action()), PlayerSuspended)


async def test_store_points_cap_counts_the_window(real, clock):
    store = real(WritePolicy(limit=RateLimit(10, 60), max_points=100))
    await refusal(store.apply(action("bob", points=101)), SuspiciousActivity)
    await store.apply(action(points=60))
    await refusal(store.apply(action(points=41)), SuspiciousActivity)
    await store.apply(action(points=40))
    clock.now += 60_000
    assert (await store.apply(action(points=100))).score == 200


async def test_store_register_creates_and_changes_a_player(store):
    done = await store.register("alice", ProfileChange())
    assert (done.player.score, done.player.username, done.created) == (0, "alice", True)
    done = await store.register("alice", ProfileChange(username="Zoë"))
    assert (done.player.username, done.player.avatar_url, done.created) == ("Zoë", None, False)
    assert done.changed == ("username",)
    assert not (await store.apply(action(create_player=False))).created


async def test_store_closed_refuses_actions(store):
    await store.close()
    await refusal(store.apply(action()), ShuttingDown)


# -- concurrency, on a real mongod -------------------------------------------------------------------


async def test_store_batch_answers_each_action_separately(real):
    store = real()
    await store.apply(action("known", action_id="seen"))
    results = await asyncio.gather(
        store.apply(action("new", points=1)),
        store.apply(action("known", action_id="seen")),
        store.apply(action("known", action_id="seen", fingerprint=b"g")),
        store.apply(action("nobody", create_player=False)),
        *(store.apply(action("hot", points=1)) for _ in range(5)),
        return_exceptions=True,
    )
    assert (results[0].score, results[0].created) == (1, True)
    assert results[1].replayed
    assert [type(r) for r in results[2:4]] == [ActionConflict, PlayerNotFound]
    assert sorted(r.score for r in results[4:] if not isinstance(r, Exception)) == [1, 2, 3]
    assert [type(r) for r in results[4:] if isinstance(r, Exception)] == [RateLimited] * 2


async def test_store_64_writers_of_one_player_over_two_stores_lose_nothing(real):
    stores = [real(ROOMY), real(ROOMY)]

    async def writer(n):
        return [(await stores[n % 2].apply(action(points=1))).score for _ in range(10)]

    scores = [score for part in await asyncio.gather(*map(writer, range(64))) for score in part]
    assert sorted(scores) == list(range(1, 641))
    assert (await stores[0].player("alice")).score == 640


async def test_store_1000_concurrent_actions_of_one_player_do_not_starve_others(real):
    """As a game server may send them. Others come later, and are answered while most of the thousand still wait."""
    store = real(ROOMY)
    hot = [asyncio.ensure_future(store.apply(action("hot", 1))) for _ in range(1000)]
    await asyncio.sleep(0)
    await asyncio.gather(*(store.apply(action(f"other {n}", 1)) for n in range(30)))
    assert sum(task.done() for task in hot) < 500
    receipts = await asyncio.gather(*hot)
    assert sorted(receipt.score for receipt in receipts) == list(range(1, 1001))
    assert (await store.player("hot")).score == 1000


async def test_store_rate_limit_is_exact_over_two_stores(real):
    stores = [real(), real()]
    results = await asyncio.gather(*(stores[n % 2].apply(action()) for n in range(100)), return_exceptions=True)
    accepted = [r for r in results if not isinstance(r, Exception)]
    assert sorted(r.score for r in accepted) == [5, 10, 15]
    assert sum(r.created for r in accepted) == 1
    assert {type(r) for r in results if isinstance(r, Exception)} == {RateLimited}


async def test_store_50_concurrent_uses_of_one_id_over_two_stores_add_once(real):
    stores = [real(), real()]
    results = await asyncio.gather(*(stores[n % 2].apply(action(action_id="x")) for n in range(50)))
    assert {r.score for r in results} == {5}
    assert sum(not r.replayed for r in results) == 1


async def test_store_refuses_more_than_max_waiting(real):
    store = real(ROOMY, pending=PendingLimit(8))
    results = await asyncio.gather(*(store.apply(action(points=1)) for _ in range(30)), return_exceptions=True)
    accepted = [r for r in results if not isinstance(r, Exception)]
    refused = [r for r in results if isinstance(r, Exception)]
    assert refused
    assert {type(r) for r in refused} == {Overloaded}
    assert (await store.player("alice")).score == len(accepted)


async def test_store_applies_an_action_whose_caller_is_cancelled(real):
    store = real(ROOMY)
    tasks = [asyncio.ensure_future(store.apply(action(points=1))) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.close()
    assert (await store.player("alice")).score == 20


async def test_store_malformed_document_fails_only_its_own_player(real):
    store = real()
    await store.apply(action("good"))
    await store.documents.insert_one({"_id": "malformed", "score": "many"})
    results = await asyncio.gather(
        *(store.apply(action(user)) for user in ("good", "malformed", "good")), return_exceptions=True
    )
    assert [r.score for r in (results[0], results[2])] == [10, 15]
    assert isinstance(results[1], Exception)


@pytest.mark.parametrize("users", [["alice"], ["alice", "bob", "carol"]])
async def test_store_database_error_is_one_log_line_without_traceback(real, replica_set, caplog, users):
    store = real()
    await store.apply(action("warm"))  # it has connected
    disk_full = {"errorCode": 14031}
    async with failing_commands(replica_set, "findAndModify", "update", until=lambda: True, **disk_full):
        results = await asyncio.gather(*(store.apply(action(user)) for user in users), return_exceptions=True)
    assert {type(result) for result in results} == {DatabaseError}
    assert [(record.levelname, record.code, record.exc_info) for record in caplog.records] == [("ERROR", 14031, None)]


async def test_store_retries_while_the_database_is_being_removed(real, replica_set):
    store = real()
    await store.apply(action("warm"))
    async with failing_commands(replica_set, "update", until=2, errorCode=215):
        accepted = await asyncio.gather(*(store.apply(action(user)) for user in ("alice", "bob")))
    assert [answer.score for answer in accepted] == [5, 5]


async def test_store_update_that_the_database_refuses_fails_alone(real, caplog):
    store = real()
    names = ("alice", "bob", "carol")
    await asyncio.gather(*(store.apply(action(name)) for name in names))
    rule = {"$or": [{"_id": {"$ne": "bob"}}, {"score": {"$lt": 6}}]}
    await store.documents.database.command("collMod", store.documents.name, validator=rule)
    results = await asyncio.gather(*(store.apply(action(name)) for name in names), return_exceptions=True)
    assert [getattr(result, "score", type(result)) for result in results] == [10, DatabaseError, 10]
    assert [record.codes for record in caplog.records if record.levelname == "ERROR"] == [[121]]


# -- reading the board --------------------------------------------------------------------------------


async def test_store_top_has_board_order_and_competition_ranks(real, clock):
    store = real()
    for user, points in [("d", 5), ("b", 7), ("c", 7), ("a", 7), ("e", 9)]:
        await store.apply(action(user, points))
        clock.now += user != "c"  # c and a in the same millisecond: the id decides
    top = await store.top()
    assert [(s.rank, s.player.user_id) for s in top.standings] == [(1, "e"), (2, "b"), (2, "a"), (2, "c"), (5, "d")]
    later = await store.top()
    assert later.version >= top.version > 0


async def test_store_top_has_10_players_and_none_hidden(real):
    store = real()
    for n in range(12):
        await store.apply(action(f"p{n}", n + 1))
    await store.documents.update_one({"_id": "p11"}, {"$set": {"hidden": True}})
    top = await store.top()
    assert [s.player.user_id for s in top.standings] == [f"p{n}" for n in range(10, 0, -1)]


async def test_store_neighbours_and_pages_follow_board_order(real, clock):
    store = real()
    order = []
    for n in range(9):
        await store.apply(action(f"p{n}", 10 - n // 3))
        clock.now += n % 2
        order.append(f"p{n}")
    board = [s.player.user_id for s in (await store.top()).standings]
    assert board == order
    above, below = await store.around(await store.player("p4"), 3)
    assert ([p.user_id for p in above], [p.user_id for p in below]) == (["p1", "p2", "p3"], ["p5", "p6", "p7"])
    assert (await store.around(await store.player("p0"), 3))[0] == []
    walked, after = [], None
    while page := await store.page(2, after):
        walked += [p.user_id for p in page]
        after = page[-1]
    assert walked == order


async def test_store_hidden_player_scores_off_the_board(real):
    store = real()
    await store.apply(action())
    await store.documents.update_one({"_id": "alice"}, {"$set": {"hidden": True}})
    assert (await store.apply(action())).score == 10
    assert not last_entry(await store.documents.find_one({"_id": "alice"}, BALANCE_FIELDS)).on_board
    assert (await store.top()).standings == ()


@pytest.mark.parametrize(
    "member",
    [{"score": float("nan")}, {"score": "5"}, {"score": True}, {"seq": "7"}, {"seq": 0}, {"seq": 1.5}, {"h": 7}],
    ids=str,
)
async def test_store_update_of_a_malformed_document_fails_at_once(real, make_store, caplog, member):
    sizes = []
    store = make_store(ROOMY, observe_batch=sizes.append)
    await store.documents.insert_one({"_id": "bob", "score": 5, "seq": 7, **member})
    answers = [asyncio.ensure_future(store.apply(action(user="bob"))) for _ in range(6)]
    outcomes = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [MalformedDocument] * 6
    assert sum(sizes) == 6
    assert f"the member '{next(iter(member))}'" in caplog.text


@pytest.mark.parametrize(
    "junk",
    [
        {"h": {"9" * 20: "x"}},
        {"h": {"9" * 5000: "x"}},
        {"h": {"1": '["a",5,"w",1,-' + "9" * 25 + "]"}},
        {"h": {"1": '["a",5,"w",1,' + "-9" * 1 + ',"",null,"",null,"",true,"",[],' + "[" * 500 + "]" * 500 + "]"}},
        {"h": {" 7": "x", "+5": "x", "007": "x", "1_0": "x", "٣": "x"}},
        {"score": Int64(-(2**63))},
    ],
    ids=["20 digits", "5000 digits", "retention", "nested", "no numbers", "lowest score"],
)
async def test_store_odd_document_harms_no_other_player(real, junk):
    store = real(ROOMY)
    await store.apply(action("odd", 5))
    await store.documents.update_one({"_id": "odd"}, {"$set": junk})
    store.cache.clear()
    odd = [store.apply(action("odd", MAX_SCORE)) for _ in range(2)] if "score" in junk else [store.apply(action("odd"))]
    results = await asyncio.gather(*odd, store.apply(action("good")))
    assert results[-1].score == 5
    assert results[0].score == (MAX_SCORE - 2**63 if "score" in junk else 10)
    if "score" in junk:
        assert results[1].score == 2 * MAX_SCORE - 2**63


async def test_store_folded_replay_says_that_it_is_superseded(real):
    store = real(ROOMY)
    await store.apply(action("alice", 1))
    store.cache.clear()
    first, again, last = await asyncio.gather(
        store.apply(action("alice", 5, "a")), store.apply(action("alice", 5, "a")), store.apply(action("alice", 7))
    )
    assert (first.score, again.score, last.score) == (6, 6, 13)
    assert (again.replayed, last.superseded_at) == (True, None)
    assert None not in (first.superseded_at, again.superseded_at)


async def test_store_replay_beside_an_update_keeps_when_it_was_superseded(real, clock):
    """The old action was superseded by the second one, not by the one that shares its batch."""
    store = real(ROOMY)
    await store.apply(action("alice", 1, "old"))
    clock.now += 1000
    second = await store.apply(action("alice", 2))
    clock.now += 1000
    store.cache.clear()
    third, replay = await asyncio.gather(store.apply(action("alice", 3)), store.apply(action("alice", 1, "old")))
    assert (third.score, replay.score, replay.replayed) == (6, 1, True)
    assert replay.superseded_at == second.updated_at


async def test_store_removes_what_is_no_history_entry_with_the_next_update(store):
    await store.apply(action(action_id="a"))
    junk = {"h.7": "mine", "h.8": 7, "h.9": {"a": 1}, "h.x": "y"}
    await store.documents.update_one({"_id": "alice"}, {"$set": junk})
    assert (await store.apply(action(action_id="a"))).replayed
    await store.apply(action())
    assert (await store.documents.find_one({"_id": "alice"}))["h"].keys() == {"1", "2", "x"}
    assert (await store.apply(action(action_id="a"))).replayed


async def test_store_counts_on_a_document_of_another_program(make_store):
    """It has no number and no history; what another program wrote counts as the first write."""
    store = make_store()
    await store.documents.insert_one({"_id": "bob", "score": 5, "updatedAt": None})
    receipts = [await store.apply(action("bob", action_id=f"a-{n}")) for n in range(2)]
    receipts.append(await store.apply(action("bob", action_id="a-0")))
    assert [(receipt.score, receipt.created, receipt.replayed) for receipt in receipts] == [
        (10, False, False), (15, False, False), (10, False, True),
    ]  # fmt: skip
    assert (await store.documents.find_one({"_id": "bob"}))["seq"] == 3


async def test_store_receipt_has_the_version_that_shows_it(make_store, real):
    """Of a write alone, of one on a known state, of many in a batch, of a replay: a snapshot of that version has it."""
    store = make_store()
    receipts = [await store.apply(action()), await store.apply(action(action_id="a-1"))]
    receipts += await asyncio.gather(*(store.apply(action(f"u{n}")) for n in range(20)))
    receipts += [await store.apply(action(action_id="a-1"))]
    assert receipts[-1].replayed
    for receipt in receipts:
        assert await score_at(store, receipt.user_id, receipt.version) >= receipt.score
    versions = [receipt.version for receipt in (*receipts[:3], receipts[-1])]
    assert versions == sorted(versions)
    player = (await store.register("zoe", ProfileChange("Zoë"))).player
    assert await score_at(store, "zoe", player.version) == 0
    assert (await store.player("alice")).version >= versions[-1]


async def score_at(store, user, version):
    """A player's score in a snapshot at a version."""
    command = {
        "find": "players",
        "filter": {"_id": user},
        "readConcern": {"level": "snapshot", "atClusterTime": Timestamp(version >> 32, version & ((1 << 32) - 1))},
    }
    found = (await store.documents.database.command(command))["cursor"]["firstBatch"]
    return found[0]["score"]
