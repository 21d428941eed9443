"""A reversal of many actions is split: no part is large, other work runs between the parts, and no action is lost."""

import asyncio
from itertools import pairwise

import pytest

from tests.support.drivers import DRIVERS
from tests.support.ledger import kinds
from tests.support.ledger_harness import moderation_request, open_ledger_harness
from tornado_app.core.errors import ActionNotFound, DatabaseError

ACTIONS, PAGE = 90, 10


@pytest.fixture(params=DRIVERS)
async def harness(request, mongo_database):
    async with open_ledger_harness(*mongo_database, request.param, pages=PAGE) as harness:
        await harness.start_writer()
        for start in range(0, ACTIONS, 40):  # the idempotency history of the harness has 50 entries
            await asyncio.gather(*(harness.score(points=n % 5 + 1) for n in range(start, min(start + 40, ACTIONS))))
        await harness.wait_complete()
        yield harness


def before_each_part(harness, monkeypatch, hook):
    """Await `hook` before each part after the first; return the list of the sizes of the parts so far."""
    real, parts = harness.moderation._take_back_part, []

    async def take_back_part(case, state, actions, *more):
        if parts:
            await hook(len(parts))
        parts.append(len(actions))
        return await real(case, state, actions, *more)

    # `_take_back_part` reverses one part: no public method or event marks the moment between two parts.
    monkeypatch.setattr(harness.moderation, "_take_back_part", take_back_part)
    return parts


def taken(harness):
    return [entry["points"] for entry in harness.sync["ledger"].find({"kind": "take_back"}).sort("n", 1)]


async def test_take_back_of_many_actions_is_split(harness, monkeypatch):
    iterations, seen = 0, []

    async def count():
        nonlocal iterations
        while True:
            iterations += 1
            await asyncio.sleep(0)

    async def record(part):
        seen.append(iterations)

    counting = asyncio.ensure_future(count())
    parts = before_each_part(harness, monkeypatch, record)
    total = sum(points for kind, points in kinds(harness.sync, "alice") if kind == "action")
    moderated = await harness.moderation.take_back(moderation_request(), action_id=None, since=0)
    counting.cancel()
    assert (moderated.points, moderated.actions, moderated.score) == (total, ACTIONS, 0)
    assert max(parts) <= PAGE
    assert len(parts) == -(-ACTIONS // PAGE)
    assert all(later > earlier for earlier, later in pairwise(seen))
    await harness.wait_complete()
    assert sum(taken(harness)) == -total
    assert len(taken(harness)) == len(parts)
    takes_back = [
        write_id for entry in harness.sync["ledger"].find({"kind": "take_back"}) for write_id in entry["takes_back"]
    ]
    assert len(takes_back) == len(set(takes_back)) == ACTIONS
    with pytest.raises(ActionNotFound):
        await harness.moderation.take_back(moderation_request(), action_id=None, since=0)


async def test_interrupted_take_back_continues(harness, monkeypatch):
    async def fail(part):
        if part == 3:
            raise DatabaseError

    with monkeypatch.context() as patch:
        before_each_part(harness, patch, fail)
        with pytest.raises(DatabaseError):
            await harness.moderation.take_back(moderation_request(), action_id=None, since=0)
    assert harness.sync["players"].find_one()["score"] > 0
    moderated = await harness.moderation.take_back(moderation_request(), action_id=None, since=0)
    assert (moderated.actions, moderated.score) == (ACTIONS - 3 * PAGE, 0)
    await harness.wait_complete()
    takes_back = [
        write_id for entry in harness.sync["ledger"].find({"kind": "take_back"}) for write_id in entry["takes_back"]
    ]
    assert len(takes_back) == len(set(takes_back)) == ACTIONS


async def test_take_back_with_actions_between_its_parts_reverses_all_earlier_actions(harness, monkeypatch):
    async def score(part):
        if part in (2, 5):
            await harness.score(points=1000)

    before_each_part(harness, monkeypatch, score)
    moderated = await harness.moderation.take_back(moderation_request(), action_id=None, since=0)
    assert (moderated.actions, moderated.score) == (ACTIONS + 2, 0)
    await harness.wait_complete()


async def test_take_back_of_a_player_without_a_marker_is_refused(harness):
    harness.sync["players"].insert_one({"_id": "bob", "score": 5})
    with pytest.raises(ActionNotFound):
        await harness.moderation.take_back(moderation_request("bob"), action_id=None, since=0)


async def test_export_reads_one_page_at_a_time(harness):
    assert len((await harness.moderation.export("alice"))["ledger"]) == ACTIONS
