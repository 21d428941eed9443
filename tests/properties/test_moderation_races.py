"""Writes of another process between the two parts of a moderation: races that the model found."""

from __future__ import annotations

import asyncio

import pytest

from tornado_app.core.errors import PlayerNotFound
from tornado_app.core.model import Action, Profile
from tornado_app.core.moderation import ModerationRequest
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore

WHY = ModerationRequest("ann", "mod", "why")


class Between:
    """A collection before whose `call` something else is done, once."""

    def __init__(self, collection, call, what):
        self._collection, self._call, self._what = collection, call, [what]

    def __getattr__(self, name):
        return self._interrupted if name == self._call else getattr(self._collection, name)

    async def _interrupted(self, *args, **options):
        while self._what:
            await self._what.pop()()
        return await getattr(self._collection, self._call)(*args, **options)


@pytest.fixture
async def client(mongo_database):
    client = connect(mongo_database[0])
    yield client
    await maybe_await(client.close())


@pytest.fixture
async def store(client, mongo_database):
    store = MongoStore(client, mongo_database[1])
    yield store
    await store.close()


@pytest.fixture
def moderator(client, mongo_database):
    """Makes moderators; what comes between is done before the named call."""

    def make(call=None, what=None):
        name = mongo_database[1]
        made = MongoModeration(client, name, Ledger(client[name]))
        if call is not None:
            # The write comes between two calls of the moderation's own collection.
            made._records.players = made.eraser._players = Between(made._players, call, what)
        return made

    return make


async def score(store):
    return await store.apply(Action("ann", 5, None, b"f", Profile(), create_player=True))


async def test_player_created_during_a_suspension_is_suspended(store, moderator):
    state = await moderator("find_one", lambda: score(store)).suspend(WHY)
    assert (state.suspended, state.changed) == (True, True)


async def test_player_reinstated_during_a_suspension_is_suspended(store, moderator):
    await score(store)
    await moderator().suspend(WHY)
    state = await moderator("find_one", lambda: moderator().reinstate(WHY)).suspend(WHY)
    assert (state.suspended, state.changed) == (True, True)


@pytest.mark.parametrize("verb", ["suspend", "reinstate", "hide", "show"])
async def test_moderation_during_an_erasure_does_not_revive_the_player(store, moderator, verb):
    async def refused():
        with pytest.raises(PlayerNotFound):
            await getattr(moderator(), verb)(WHY)

    await score(store)
    erasing = moderator("delete_one", refused)
    await erasing.erase(WHY)
    with pytest.raises(PlayerNotFound):
        await moderator().suspend(WHY)


async def test_concurrent_erasures_both_succeed(store, moderator):
    await score(store)
    await moderator("delete_one", lambda: moderator().erase(WHY)).erase(WHY)
    with pytest.raises(PlayerNotFound):
        await moderator().erase(WHY)


async def test_concurrent_moderation_terminates(store, moderator):
    await score(store)
    everyone = [moderator() for _ in range(20)]
    states = await asyncio.gather(*((m.suspend if n % 2 else m.reinstate)(WHY) for n, m in enumerate(everyone)))
    assert all(state.suspended == bool(n % 2) for n, state in enumerate(states))
