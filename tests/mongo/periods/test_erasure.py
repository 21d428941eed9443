"""An erased player is in no result, whatever was under way and wherever a process died."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pymongo.errors import PyMongoError

from tests.support.fail_points import failing_commands
from tests.support.ledger_harness import moderation_request
from tests.support.periods import HOUR, START
from tornado_app.core.boards import Board, View
from tornado_app.core.errors import DatabaseError
from tornado_app.core.model import utc_datetime
from tornado_app.core.periods import Cron, EpochState, Period
from tornado_app.core.plan import GRACE
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.periods import results as module
from tornado_app.mongo.periods import sealing
from tornado_app.mongo.periods.erasure import ResultEraser
from tornado_app.mongo.periods.plan import PlanChanged
from tornado_app.mongo.periods.results import Results
from tornado_app.mongo.players.moderation import MongoModeration

HOURLY = View("main", "hourly")
HOURS = (Period("hourly", Cron("0 * * * *")),)


def players(*names: str, epoch: int = 1) -> list[dict]:
    """In the order of the board."""
    at = utc_datetime(START)
    return [{"_id": name, "w": {"hourly": {"e": epoch, "s": 9 - number, "t": at}}} for number, name in enumerate(names)]


@pytest.fixture
async def periods(make_process, client, mongo_database, database, clock):
    """A process, of which the first epoch of an hour is over, and can be sealed; what the tests read and call."""
    process = make_process(Board(periods=HOURS))
    name = mongo_database[1]
    eraser, results = ResultEraser(client, name), Results(client, name)
    moderation = MongoModeration(client, name, Ledger(database), erase_results=eraser.erase)
    await process.plan.prepare()
    await process.planner.plan()
    await database["players"].insert_many(players("alice", "bob", "carol"))
    clock.time += HOUR
    await process.planner.plan()
    await process.planner.seal()
    clock.time += GRACE

    async def places(view=HOURLY, number=1):
        return {row.standing.player.user_id: row.number for row in await results.page(view, number, limit=9)}

    async def epoch(view=HOURLY, number=1):
        return await process.plan.epoch(view, number)

    async def erase(player="bob"):
        """As an erasure: first from the board."""
        await database["players"].update_one({"_id": player}, {"$set": {"hidden": True}})
        await eraser.erase(player)

    async def digested(view=HOURLY, number=1):
        found = await process.plan.epoch(view, number)
        return (found.rows, found.sha256) == await results.digest(view, number)

    return SimpleNamespace(
        process=process,
        moderation=moderation,
        places=places,
        epoch=epoch,
        erase=erase,
        digested=digested,
        seal=process.planner.seal,
        sealer=process.planner._sealer,  # where the tests stop it
        database=database,
    )


class Stopped:
    """A database whose results are renamed after `meanwhile`: as by a process that is stopped before it."""

    def __init__(self, real, meanwhile):
        self._real, self._meanwhile = real, meanwhile

    def __getattr__(self, name):
        return getattr(self._real, name)

    def __getitem__(self, name):
        collection = self._real[name]

        async def rename(new):
            await self._meanwhile()
            await collection.rename(new)

        return SimpleNamespace(rename=rename) if "unfinished" in name else collection


async def test_erasure_removes_the_row_and_leaves_the_other_places(periods):
    await periods.seal()
    before = await periods.epoch()
    await periods.erase()
    assert await periods.places() == {"alice": 1, "carol": 3}
    assert (await periods.epoch()).sha256 is None
    await periods.process.plan.refresh()
    await periods.seal()
    after = await periods.epoch()
    assert (after.rows, after.erased, after.sealed_at) == (2, 1, before.sealed_at)
    assert after.sha256 not in (None, before.sha256)
    assert await periods.digested()
    await periods.erase("carol")
    await periods.process.plan.refresh()
    await periods.seal()
    after = await periods.epoch()
    assert (after.rows, after.erased) == (1, 2)
    (stored,) = await periods.database["periods"].find({"_id": "main.hourly.1"}).to_list(None)
    assert {"sealing", "erasing"}.isdisjoint(stored)


async def test_erasure_changes_no_result_without_the_player(periods):
    await periods.seal()
    before = await periods.database["periods"].find({}).to_list(None)
    await periods.erase("dave")
    assert await periods.database["periods"].find({}).to_list(None) == before


async def test_erasure_reaches_results_of_boards_that_are_not_served(periods, make_process, clock, monkeypatch):
    monkeypatch.setattr(module, "UNION", 2)
    kart = make_process(Board("kart", periods=HOURS))
    clock.time = START
    await kart.planner.plan()
    for number in (1, 2, 3):
        await periods.database["players.kart"].delete_many({})
        await periods.database["players.kart"].insert_many(players("alice", "bob", epoch=number))
        clock.time += HOUR
        await kart.seal_after(GRACE)
    await periods.database["players.kart"].delete_many({})
    await periods.seal()
    await periods.erase()
    assert "bob" not in await periods.places()
    await periods.process.plan.refresh()
    await periods.seal()
    for number in (1, 2, 3):
        assert await periods.places(View("kart", "hourly"), number) == {"alice": 1}
        assert await periods.digested(View("kart", "hourly"), number)


async def test_rows_that_were_read_before_the_erasure_do_not_come_back(periods):
    periods.sealer._database = Stopped(periods.sealer._database, periods.erase)
    await periods.seal()
    assert await periods.places() == {"alice": 1, "carol": 3}
    epoch = await periods.epoch()
    assert (epoch.state, epoch.rows, epoch.erased) == (EpochState.SEALED, 2, 1)
    assert await periods.digested()


async def test_rows_that_another_process_read_before_the_erasure_do_not_come_back(periods, make_process):
    """The first process is stopped with its rows, and the second one dies after the same step."""
    first = make_process(Board(periods=HOURS))
    await first.plan.refresh()
    await first.planner.seal()
    first.clock.time += GRACE

    async def meanwhile():
        periods.sealer._database = Stopped(periods.sealer._database, dies)
        with pytest.raises(PyMongoError):
            await periods.seal()
        await periods.erase()

    async def dies():
        raise PyMongoError("killed")

    first.planner._sealer._database = Stopped(first.planner._sealer._database, meanwhile)
    await first.planner.seal()
    assert await periods.places() == {"alice": 1, "carol": 3}
    assert await periods.digested()
    assert await periods.database["results.main.hourly.1"].find_one({"_id": "bob"}) is None


async def test_erasure_removes_the_row_of_a_result_that_is_never_finished(periods):
    unfinished = periods.database["results.main.hourly.1.unfinished-0a1b2c3d"]
    await unfinished.insert_many([{"_id": "alice", "place": 1}, {"_id": "bob", "place": 2}])
    await periods.erase()
    assert [row["_id"] for row in await unfinished.find().to_list(None)] == ["alice"]


async def test_digest_that_was_read_before_the_erasure_is_not_recorded(periods):
    digest = periods.sealer._results.digest

    async def stopped(view, number):
        found = await digest(view, number)
        periods.sealer._results.digest = digest
        await periods.erase()
        return found

    periods.sealer._results.digest = stopped
    with pytest.raises(PlanChanged):
        await periods.seal()
    assert (await periods.epoch()).state is EpochState.PLANNED
    await periods.seal()
    assert await periods.places() == {"alice": 1, "carol": 3}
    assert await periods.digested()


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "being sealed"])
@pytest.mark.parametrize("command", ["update", "listCollections", "aggregate", "delete"])
async def test_erasure_that_died_at_a_step_is_finished(periods, replica_set, command, sealed):
    if sealed:
        await periods.seal()
    else:
        async with failing_commands(replica_set, "createIndexes", until=1, errorCode=8000):
            with pytest.raises(PyMongoError):
                await periods.seal()
    await periods.database["players"].update_one({"_id": "bob"}, {"$set": {"seq": 1, "score": 5}})
    # the record of the erasure is an update, too, and so is the one of `players`
    fails = (
        {"errorCode": 8000, "namespace": f"{periods.database.name}.periods"}
        if command == "update"
        else {"errorCode": 8000}
    )
    async with failing_commands(replica_set, command, until=1, **fails):
        with pytest.raises(DatabaseError):
            await periods.moderation.erase(moderation_request("bob"))
    assert await periods.moderation.eraser.finish_all() == 1
    assert "bob" not in await periods.places()
    await periods.process.plan.refresh()
    await periods.seal()
    assert await periods.places() == {"alice": 1, "carol": 3}
    assert await periods.digested()
    assert (await periods.epoch()).erased == 1
    assert await periods.database["players"].count_documents({"_id": "bob"}) == 0


async def test_row_that_an_erasure_left_is_removed_by_the_sealing_process(periods, replica_set):
    """The process died before the delete, and nothing finishes the erasure."""
    await periods.seal()
    async with failing_commands(replica_set, "delete", until=1, errorCode=8000):
        with pytest.raises(PyMongoError):
            await periods.erase()
    await periods.process.plan.refresh()
    await periods.seal()
    assert await periods.places() == {"alice": 1, "carol": 3}
    assert await periods.digested()


async def test_epoch_is_sealed_before_all_digests_that_an_erasure_removed_are_computed(periods, clock, monkeypatch):
    monkeypatch.setattr(sealing, "DIGESTS", 0.0)
    for number in (2, 3):
        await periods.seal()
        await periods.database["players"].update_many({}, {"$set": {"w.hourly.e": number}})
        clock.time += HOUR
        await periods.process.seal_after(GRACE)
    await periods.erase()
    clock.time += HOUR
    await periods.process.seal_after(GRACE)  # two turns, and one digest in each
    states = [(await periods.epoch(number=number)).sha256 is None for number in (1, 2, 3)]
    assert states == [False, False, True]
    assert (await periods.epoch(number=4)).state is EpochState.SEALED
    await periods.process.plan.refresh()
    await periods.seal()
    assert await periods.digested(number=3)


async def test_row_in_a_result_of_a_process_that_knows_no_notes_is_removed(periods):
    """As of a former version during a rolling update, which sealed an epoch with a note."""
    await periods.seal()
    await periods.database["periods"].update_one(
        {"_id": "main.hourly.1"},
        {"$set": {"sealing": True, "erasing": ["bob"]}, "$currentDate": {"revision": {"$type": "timestamp"}}},
    )
    await periods.process.plan.refresh()
    await periods.seal()
    assert await periods.places() == {"alice": 1, "carol": 3}
    assert await periods.digested()
    assert (await periods.epoch()).erased == 1


async def test_result_that_is_dropped_before_its_digest_is_computed_has_none(periods):
    await periods.seal()
    await periods.erase()
    epoch = await periods.epoch()
    await periods.process.plan.dropped(HOURLY, [epoch])
    await periods.process.plan.refresh()
    await periods.seal()
    dropped = await periods.epoch()
    assert (dropped.state, dropped.sha256) == (EpochState.DROPPED, None)
    assert "erasing" not in await periods.database["periods"].find_one({"_id": "main.hourly.1"})


async def test_epochs_that_are_sealed_are_found_by_an_index(periods):
    found = await periods.database["periods"].find({"sealing": True}).explain()
    assert "IXSCAN" in str(found["queryPlanner"]["winningPlan"])
