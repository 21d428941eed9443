"""Many actions are taken back in parts: no part is large, other work goes on between them, and none is lost."""

import asyncio
from itertools import pairwise

import pytest

from tests.mongo.desk import case, open_desk
from tests.support.drivers import DRIVERS
from tests.support.ledger import kinds
from tornado_app.core.errors import ActionNotFound, DatabaseError

ACTIONS, PAGE = 90, 10


@pytest.fixture(params=DRIVERS)
async def desk(request, mongo_database):
    async with open_desk(*mongo_database, request.param, pages=PAGE) as desk:
        await desk.begin()
        for start in range(0, ACTIONS, 40):  # the desk's policy remembers 50
            await asyncio.gather(*(desk.score(points=n % 5 + 1) for n in range(start, min(start + 40, ACTIONS))))
        await desk.whole()
        yield desk


def between(desk, monkeypatch, what):
    """Have something done before each part after the first; the parts so far."""
    real, parts = desk.moderation._take, []

    async def take(who, before, found):
        if parts:
            await what(len(parts))
        parts.append(len(found))
        return await real(who, before, found)

    monkeypatch.setattr(desk.moderation, "_take", take)
    return parts


def taken(desk):
    return [entry["points"] for entry in desk.sync["ledger"].find({"kind": "take_back"}).sort("n", 1)]


async def test_take_back_of_many_actions_is_split(desk, monkeypatch):
    turns, seen = 0, []

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def note(part):
        seen.append(turns)

    counting = asyncio.ensure_future(count())
    parts = between(desk, monkeypatch, note)
    total = sum(points for kind, points in kinds(desk.sync, "alice") if kind == "action")
    moderated = await desk.moderation.take_back(case(), action_id=None, since=0)
    counting.cancel()
    assert (moderated.points, moderated.actions, moderated.score) == (total, ACTIONS, 0)
    assert max(parts) <= PAGE
    assert len(parts) == -(-ACTIONS // PAGE)
    assert all(later > earlier for earlier, later in pairwise(seen))
    await desk.whole()
    assert sum(taken(desk)) == -total
    assert len(taken(desk)) == len(parts)
    takes_back = [
        write_id for entry in desk.sync["ledger"].find({"kind": "take_back"}) for write_id in entry["takes_back"]
    ]
    assert len(takes_back) == len(set(takes_back)) == ACTIONS
    with pytest.raises(ActionNotFound):
        await desk.moderation.take_back(case(), action_id=None, since=0)


async def test_interrupted_take_back_continues(desk, monkeypatch):
    async def fail(part):
        if part == 3:
            raise DatabaseError

    with monkeypatch.context() as patch:
        between(desk, patch, fail)
        with pytest.raises(DatabaseError):
            await desk.moderation.take_back(case(), action_id=None, since=0)
    assert desk.sync["players"].find_one()["score"] > 0
    moderated = await desk.moderation.take_back(case(), action_id=None, since=0)
    assert (moderated.actions, moderated.score) == (ACTIONS - 3 * PAGE, 0)
    await desk.whole()
    takes_back = [
        write_id for entry in desk.sync["ledger"].find({"kind": "take_back"}) for write_id in entry["takes_back"]
    ]
    assert len(takes_back) == len(set(takes_back)) == ACTIONS


async def test_take_back_with_actions_between_its_parts_reverses_all_earlier_actions(desk, monkeypatch):
    async def score(part):
        if part in (2, 5):
            await desk.score(points=1000)

    between(desk, monkeypatch, score)
    moderated = await desk.moderation.take_back(case(), action_id=None, since=0)
    assert (moderated.actions, moderated.score) == (ACTIONS + 2, 0)
    await desk.whole()


async def test_take_back_of_a_player_without_a_marker_is_refused(desk):
    desk.sync["players"].insert_one({"_id": "bob", "score": 5})
    with pytest.raises(ActionNotFound):
        await desk.moderation.take_back(case("bob"), action_id=None, since=0)


async def test_export_reads_one_page_at_a_time(desk):
    assert len((await desk.moderation.export("alice"))["ledger"]) == ACTIONS
