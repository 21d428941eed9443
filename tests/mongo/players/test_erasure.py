"""An erasure interrupted at any step is finished later, and no moderation revives the player in between."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from pymongo.errors import AutoReconnect

from tests.support.drivers import DRIVERS
from tests.support.service import RunningService, token
from tests.support.wait import eventually, wait_until
from tornado_app.core.abuse import AbuseRule
from tornado_app.core.errors import DatabaseError, PlayerNotFound, PlayerSuspended
from tornado_app.core.history import WriteKind
from tornado_app.core.model import Action, Profile, ProfileChange
from tornado_app.core.moderation import ModerationRequest
from tornado_app.mongo.change_stream.events import WATCHED, decode
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore

WHY = ModerationRequest("alice", "mod", "asked by letter")
ADMIN = token("mod", scope="leaderboard:admin")
STEPS = ["update_one", "forget", "delete_one"]


class FailingProxy:
    """A proxy whose method `call` fails before or after it reaches the database."""

    def __init__(self, real, call, *, after):
        self._real, self._call, self._after = real, call, after

    def __getattr__(self, name):
        return self._fail if name == self._call else getattr(self._real, name)

    async def _fail(self, *args, **options):
        if self._after:
            await getattr(self._real, self._call)(*args, **options)
        raise AutoReconnect


@pytest.fixture(params=DRIVERS)
async def board(request, mongo_database):
    uri, name = mongo_database
    client = connect(uri, request.param)
    await indexes.ensure(client, name)
    store = MongoStore(client, name)
    made = SimpleNamespace(
        store=store,
        players=client[name]["players"],
        suspects=client[name]["suspects"],
        moderation=lambda: MongoModeration(client, name, Ledger(client[name])),
    )
    yield made
    await store.close()
    await maybe_await(client.close())


async def score(board):
    return await board.store.apply(Action("alice", 5, None, b"f", Profile("Alice"), create_player=True))


async def interrupt(board, step, *, after=False):
    """Start an erasure in which this step fails."""
    moderation = board.moderation()
    # The erasure itself reaches these collections, so a failing step can only be put in its place.
    await moderation._suspects.record("alice", next(iter(AbuseRule)))
    eraser = moderation.eraser
    eraser._players = FailingProxy(eraser._players, step, after=after)
    eraser._suspects = FailingProxy(eraser._suspects, step, after=after)
    with pytest.raises(DatabaseError):
        await moderation.erase(WHY)


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done, response lost"])
@pytest.mark.parametrize("step", STEPS)
async def test_interrupted_erasure_is_finished_by_finish_all(board, step, after):
    await score(board)
    await interrupt(board, step, after=after)
    begun = (step, after) != ("update_one", False)
    left = (step, after) != ("delete_one", True)
    assert await board.moderation().eraser.finish_all() == (begun and left)
    assert await board.players.count_documents({}) == (not begun)
    assert await board.suspects.count_documents({}) == (not begun)
    assert (await score(board)).created == begun


@pytest.mark.parametrize("step", ["forget", "delete_one"])
async def test_interrupted_erasure_refuses_every_change_of_the_player(board, step):
    await score(board)
    await interrupt(board, step)
    before = await board.players.find_one({})
    for verb in ("suspend", "reinstate", "hide", "show"):
        with pytest.raises(PlayerNotFound):
            await getattr(board.moderation(), verb)(WHY)
    with pytest.raises(PlayerNotFound):
        await board.moderation().take_back(WHY, action_id=None, since=0)
    with pytest.raises(PlayerSuspended):
        await score(board)
    with pytest.raises(DatabaseError):
        await board.store.register("alice", ProfileChange("Alice"))
    with pytest.raises(PlayerNotFound):
        await board.store.player("alice")
    assert await board.players.find_one({}) == before
    assert {"username", "ownUsername"}.isdisjoint(before)


@pytest.mark.parametrize("junk", [{"seq": "x"}, {"seq": 1, "h": 7}, {"h": []}, {"score": "many"}], ids=str)
async def test_erasure_of_a_malformed_document_reaches_the_ledger(board, junk):
    """Its event has the entry of the erasure, from which the ledger forgets the player."""
    await score(board)
    await board.players.update_one({"_id": "alice"}, {"$set": junk})
    stream = await maybe_await(board.players.watch(WATCHED, max_await_time_ms=10))
    await maybe_await(stream.try_next())  # Motor opens it with the first call
    await board.moderation().erase(WHY)
    found = []
    while (document := await stream.try_next()) is not None:
        found.append(decode(document))
    await maybe_await(stream.close())
    assert [(event.kind, [entry.kind for entry in event.entries]) for event in found] == [
        ("update", [WriteKind.ERASE]), ("delete", []),
    ]  # fmt: skip
    assert await board.players.count_documents({}) == 0


async def test_erasure_of_a_malformed_document_names_no_scores_of_another_board(board):
    await score(board)
    slot = {"e": 1, "s": 5, "t": datetime(2026, 1, 2, tzinfo=UTC)}
    await board.players.update_one({"_id": "alice"}, {"$set": {"w": {"weekly": slot}}})
    kart = board.players.database["players.kart"]
    await kart.insert_one({"_id": "alice", "score": 5, "seq": "x"})
    stream = await maybe_await(board.players.database.watch(WATCHED, max_await_time_ms=10))
    await maybe_await(stream.try_next())  # Motor opens it with the first call
    await interrupt(board, "update_one", after=True)
    assert await board.moderation().eraser.finish_all() == 1
    found = []
    while (document := await stream.try_next()) is not None:
        found.append(decode(document))
    await maybe_await(stream.close())
    slots = [(event.board, [slot.score for slot in event.entries[-1].slots]) for event in found if event.entries]
    assert slots == [("main", [5]), ("kart", [])]


async def test_repeated_erase_finishes_an_interrupted_erasure(board):
    await score(board)
    await interrupt(board, "delete_one")
    await board.moderation().erase(WHY)
    assert await board.players.count_documents({}) == 0
    with pytest.raises(PlayerNotFound):
        await board.moderation().erase(WHY)


async def test_register_during_an_erasure_creates_a_new_player(board):
    await score(board)
    await interrupt(board, "delete_one")
    registering = asyncio.ensure_future(board.store.register("alice", ProfileChange("Alice again")))
    await asyncio.sleep(0)
    assert await board.moderation().eraser.finish_all() == 1
    done = await registering
    assert (done.player.score, done.player.username, done.created) == (0, "Alice again", True)


async def test_finish_all_keeps_hidden_and_suspended_players(board):
    await score(board)
    await board.moderation().hide(WHY)
    await board.moderation().suspend(WHY)
    assert await board.moderation().eraser.finish_all() == 0
    assert await board.players.count_documents({}) == 1


async def test_eraser_continues_after_database_errors(board, caplog):
    await score(board)
    await interrupt(board, "delete_one")
    eraser = board.moderation().eraser
    # As in `interrupt`: the step fails in the eraser's own collection.
    real, eraser._players = eraser._players, FailingProxy(eraser._players, "delete_one", after=False)
    running = asyncio.ensure_future(eraser.run(interval=0.02))
    await eventually(lambda: "search for interrupted erasures failed" in caplog.text)
    eraser._players = real
    await eventually(lambda: "finished erasures that were interrupted" in caplog.text)
    assert await board.players.count_documents({}) == 0
    assert "alice" not in caplog.text
    running.cancel()


def test_service_killed_during_an_erasure_finishes_it_at_its_next_start(own_replica_set, tmp_path):
    uri, member = own_replica_set.uri, own_replica_set.members[0]
    service = RunningService(uri=uri).start(tmp_path / "first")
    body = {"reason": "asked by letter"}
    assert service.post("/api/score", {"score": 5}, token=token("alice")).status == 201
    with member.client() as client:
        players, fail = client["leaderboard"]["players"], {"failCommands": ["delete"], "errorCode": 11600}
        client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": fail})
        refused = service.post("/api/v1/admin/players/alice/erase", body, token=ADMIN)
        assert refused.status == 500
        service.kill()
        assert players.count_documents({"hidden": True}) == 1
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        again = RunningService(uri=uri).start(tmp_path / "second")
        try:
            assert players.count_documents({}) == 0
            ledger = client["leaderboard"]["ledger"]
            wait_until(
                lambda: [entry["kind"] for entry in ledger.find({})] == ["erase"], 20, "only the erasure is left"
            )
            assert again.metric("leaderboard_feed_restarts_total") == 0
        finally:
            again.close()
