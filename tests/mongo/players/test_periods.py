"""Scores in periods: one write for all of them, the fence at the end of an epoch, and the reads of an epoch."""

from __future__ import annotations

import asyncio
import time

import pytest

from tornado_app.core.boards import Board, Order, Rule
from tornado_app.core.errors import PlayerNotFound
from tornado_app.core.model import Action, PeriodScore, Profile
from tornado_app.core.slots import OpenEpoch, OpenEpochs
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players.store import MongoStore


class Epochs:
    """The open epochs of a test. `number`: of the period weekly."""

    def __init__(self) -> None:
        self.number, self.unsealed, self.seconds = 1, 1, 60.0
        self.asked = asyncio.Semaphore(0)

    def __call__(self) -> OpenEpochs:
        self.asked.release()
        weekly = OpenEpoch("weekly", self.number, self.unsealed)
        return OpenEpochs((weekly, OpenEpoch("season", 7)), round((time.time() + self.seconds) * 1000))


@pytest.fixture
def epochs():
    return Epochs()


@pytest.fixture
async def make_store(mongo_database, epochs):
    uri, name = mongo_database
    client = connect(uri, "pymongo")
    stores = []

    def make(rule=Rule.SUM, order=Order.DESCENDING, **options):
        store = MongoStore(client, name, board=Board("main", rule, order), epochs=epochs, **options)
        store.documents = client[name]["players"]
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.close()
    await maybe_await(client.close())


def action(user, value, action_id=None):
    return Action(user, value, action_id, b"f", Profile(), create_player=True)


def scores(document):
    return {period: (slot["e"], slot.get("s")) for period, slot in document["w"].items()}


async def test_one_update_counts_in_all_time_and_in_every_period(make_store, epochs):
    store = make_store()
    first = await store.apply(action("alice", 5))
    epochs.number = 2
    second = await store.apply(action("alice", 3))
    document = await store.documents.find_one({"_id": "alice"})
    assert first.epochs == (PeriodScore("weekly", 1, 5, improved=True), PeriodScore("season", 7, 5, improved=True))
    assert second.epochs == (PeriodScore("weekly", 2, 3, improved=True), PeriodScore("season", 7, 8, improved=True))
    assert document["score"] == 8
    assert scores(document) == {"weekly": (2, 3), "season": (7, 8)}
    assert [entry[:2] for entry in document["w"]["weekly"]["p"]] == [[1, 5]]


@pytest.mark.parametrize("order", Order)
async def test_best_of_an_epoch_begins_anew(make_store, epochs, order):
    store = make_store(Rule.BEST, order)
    best, other = (10, 20) if order is Order.ASCENDING else (20, 10)
    await store.apply(action("alice", best))
    epochs.number = 2
    receipt = await store.apply(action("alice", other))
    assert receipt.epochs[0] == PeriodScore("weekly", 2, other, improved=True)
    assert not receipt.improved
    assert scores(await store.documents.find_one({"_id": "alice"})) == {"weekly": (2, other), "season": (7, best)}


async def test_sealed_epochs_leave_the_document_with_the_next_move(make_store, epochs):
    store = make_store()
    for epochs.number, epochs.unsealed in ((1, 1), (2, 1), (3, 2)):
        await store.apply(action("alice", epochs.number))
    document = await store.documents.find_one({"_id": "alice"})
    assert [entry[:2] for entry in document["w"]["weekly"]["p"]] == [[2, 2]]


async def test_same_id_before_and_after_a_boundary_counts_once(make_store, epochs):
    store = make_store()
    await store.apply(action("alice", 5, "once"))
    epochs.number = 2
    again = await store.apply(action("alice", 5, "once"))
    assert again.replayed
    assert again.epochs[0] == PeriodScore("weekly", 1, 5, improved=True)
    assert scores(await store.documents.find_one({"_id": "alice"}))["weekly"] == (1, 5)


async def test_repetition_has_the_score_of_its_epoch_and_when_the_player_became_better_in_the_present_one(
    make_store, epochs
):
    """Also of a process that has not seen the later action: its position is that among the other players."""
    store, other = make_store(), make_store()
    await store.apply(action("alice", 5, "a-1"))
    for epochs.number, points, better in ((1, 0, False), (1, 4, True), (2, 5, False), (2, 1, True)):
        if points:
            await other.apply(action("alice", points))
        again = await make_store().in_period("weekly", lambda: epochs.number).apply(action("alice", 5, "a-1"))
        assert (again.replayed, again.score) == (True, 5)
        assert (again.superseded_at is not None) is better


async def test_process_that_does_not_know_a_new_epoch_counts_in_it_after_another_did(make_store, epochs):
    ahead, behind = make_store(), make_store()
    epochs.number = 2
    await ahead.apply(action("alice", 5))
    epochs.number = 1
    receipt = await behind.apply(action("alice", 3))
    assert receipt.epochs[0] == PeriodScore("weekly", 2, 8, improved=True)


@pytest.mark.parametrize("known", [True, False], ids=["known player", "new player"])
async def test_update_after_the_fence_is_decided_again(make_store, epochs, known):
    store = make_store()
    if known:
        await store.apply(action("alice", 5))
    epochs.seconds, epochs.asked = -1.0, asyncio.Semaphore(0)
    answer = asyncio.ensure_future(store.apply(action("alice", 1)))
    for _ in range(3):
        await epochs.asked.acquire()
    assert not answer.done()
    epochs.number, epochs.seconds = 2, 60.0
    receipt = await answer
    assert receipt.epochs[0] == PeriodScore("weekly", 2, 1, improved=True)
    document = await store.documents.find_one({"_id": "alice"})
    assert scores(document)["weekly"] == (2, 1)
    assert document["score"] == (6 if known else 1)


async def test_batch_of_fenced_creations_and_updates_is_decided_again(make_store, epochs):
    store = make_store()
    await store.apply(action("known", 1))
    epochs.seconds, epochs.asked = -1.0, asyncio.Semaphore(0)
    users = ("known", "new", "newer")
    answers = [asyncio.ensure_future(store.apply(action(user, 2))) for user in users]
    for _ in range(3):
        await epochs.asked.acquire()
    epochs.number, epochs.seconds = 2, 60.0
    assert [receipt.epochs[0].epoch for receipt in await asyncio.gather(*answers)] == [2, 2, 2]


async def test_reads_of_an_epoch_show_its_players_in_its_order(make_store, epochs):
    store = make_store()
    for user, points in (("alice", 100), ("bob", 50), ("carol", 10)):
        await store.apply(action(user, points))
    epochs.number = 2
    for user, points in (("bob", 1), ("alice", 2), ("carol", 3), ("dave", 4)):
        await store.apply(action(user, points))
    await store.documents.update_one({"_id": "dave"}, {"$set": {"hidden": True}})
    weekly = store.in_period("weekly", lambda: epochs.number)
    top = await weekly.top()
    assert top.epoch == 2
    assert [(each.rank, each.player.user_id, each.player.score) for each in top.standings] == [
        (1, "carol", 3), (2, "alice", 2), (3, "bob", 1),
    ]  # fmt: skip
    alice = await weekly.player("alice")
    above, below = await weekly.around(alice, 5)
    assert [player.user_id for player in above + below] == ["carol", "bob"]
    assert [player.user_id for player in await weekly.page(5, alice)] == ["bob"]
    assert [player.user_id for player in await weekly.chosen({"bob", "carol", "dave"})] == ["carol", "bob"]
    epochs.number = 3
    assert (await weekly.top()).standings == ()
    with pytest.raises(PlayerNotFound):
        await weekly.player("alice")
