"""Moderation of players in a real MongoDB, with a fake ledger."""

import asyncio
from types import SimpleNamespace

import pytest

from tornado_app.core.errors import ActionNotFound, PlayerNotFound, PlayerSuspended
from tornado_app.core.history import WriteKind
from tornado_app.core.model import Action, Profile
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.documents import BALANCE_FIELDS, last_entry
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore

WHY = ModerationRequest("alice", "mod", "speed hack")


class FakeLedger:
    """A ledger with the entries that the test adds; `behind` makes it lag."""

    def __init__(self):
        self.entries, self.behind = [], 0

    async def has(self, write_id):
        self.behind -= 1
        return self.behind < 0

    async def actions(self, player, *, board, action_id=None, since_ms=None):
        yield [
            entry
            for entry in self.entries
            if (action_id is None or entry.id == action_id) and (since_ms is None or entry.at >= since_ms)
        ]

    async def folded_until(self, player, *, board):
        return None

    async def export(self, player):
        return [vars(entry) for entry in self.entries]


@pytest.fixture
async def board(mongo_database):
    uri, name = mongo_database
    client = connect(uri)
    await indexes.ensure(client, name)
    ledger = FakeLedger()
    store = MongoStore(client, name, policy=WritePolicy(limit=RateLimit(100, 60)))
    moderation = MongoModeration(client, name, ledger)
    documents = client[name]["players"]

    async def score(points, action_id=None):
        receipt = await store.apply(Action("alice", points, action_id, b"f", Profile("Alice"), create_player=True))
        entry = last_entry(await documents.find_one({"_id": "alice"}, BALANCE_FIELDS))
        ledger.entries.append(
            SimpleNamespace(write_id=entry.write_id, points=points, id=action_id, at=entry.at, epochs=())
        )
        return receipt

    yield SimpleNamespace(store=store, moderation=moderation, documents=documents, ledger=ledger, score=score)
    await store.close()
    await maybe_await(client.close())


async def last(board):
    return last_entry(await board.documents.find_one({"_id": "alice"}, BALANCE_FIELDS))


async def test_suspended_player_is_refused_until_reinstated(board):
    await board.score(5)
    state = await board.moderation.suspend(WHY)
    assert (state.suspended, state.changed, state.score) == (True, True, 5)
    found = await last(board)
    assert (found.kind, found.by, found.reason) == (WriteKind.SUSPEND, "mod", "speed hack")
    with pytest.raises(PlayerSuspended):
        await board.score(5)
    assert not (await board.moderation.suspend(WHY)).changed
    assert not (await board.moderation.reinstate(WHY)).suspended
    assert (await board.score(5)).score == 10


async def test_hidden_player_leaves_the_top_10_until_shown(board):
    await board.score(5)
    assert (await board.moderation.hide(WHY)).hidden
    found = await last(board)
    assert (found.kind, found.points, found.on_board) == (WriteKind.HIDE, 5, True)
    assert (await board.store.top()).standings == ()
    await board.score(5)
    assert not (await last(board)).on_board
    assert not (await board.moderation.show(WHY)).hidden
    assert (await last(board)).points == 10
    assert [s.player.score for s in (await board.store.top()).standings] == [10]


async def test_take_back_of_an_action_subtracts_its_points_once(board):
    await board.score(5, "a-1")
    await board.score(7, "a-2")
    state = await board.moderation.take_back(WHY, action_id="a-1", since=None)
    assert (state.score, state.points, state.actions) == (7, 5, 1)
    found = await last(board)
    assert (found.kind, found.points, found.takes_back) == (WriteKind.TAKE_BACK, -5, [board.ledger.entries[0].write_id])
    replay = await board.score(7, "a-2")
    assert (replay.replayed, replay.score) == (True, 7)


async def test_take_back_since_a_time_reverses_all_later_actions(board):
    await board.score(5)
    await asyncio.sleep(0.002)
    second = await board.score(7)
    await board.score(9)
    state = await board.moderation.take_back(WHY, action_id=None, since=second.updated_at)
    assert (state.score, state.actions) == (5, 2)


async def test_take_back_of_an_unknown_action_is_refused(board):
    await board.score(5, "a-1")
    with pytest.raises(ActionNotFound):
        await board.moderation.take_back(WHY, action_id="nope", since=None)


async def test_take_back_waits_for_the_ledger_during_writes(board):
    await board.score(5, "a-1")
    board.ledger.behind = 3
    taking = asyncio.ensure_future(board.moderation.take_back(WHY, action_id="a-1", since=None))
    for _ in range(5):
        await board.store.apply(Action("alice", 10, None, b"f", Profile(), create_player=False))
    assert (await taking).points == 5
    assert (await board.store.player("alice")).score == 50


async def test_erased_player_is_not_found_and_may_be_created_again(board):
    await board.score(5)
    await board.moderation.erase(WHY)
    with pytest.raises(PlayerNotFound):
        await board.store.player("alice")
    with pytest.raises(PlayerNotFound):
        await board.moderation.erase(WHY)
    assert (await board.score(3)).created


async def test_export_contains_player_and_ledger(board):
    await board.score(5, "a-1")
    found = await board.moderation.export("alice")
    assert (found["player"]["_id"], found["player"]["score"]) == ("alice", 5)
    assert found["player"]["updatedAt"].endswith("Z")
    assert found["ledger"][0]["points"] == 5


@pytest.mark.parametrize("verb", ["suspend", "reinstate", "hide", "show", "erase"])
async def test_moderation_of_an_unknown_player_is_refused(board, verb):
    with pytest.raises(PlayerNotFound):
        await getattr(board.moderation, verb)(ModerationRequest("nobody", "mod", "why"))
