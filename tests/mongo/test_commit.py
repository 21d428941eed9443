"""The group commit by itself: who shares a flush, who may wait, and for how long."""

import asyncio

import pytest

from tornado_app.core.errors import Overloaded
from tornado_app.mongo.commit import MIN_BATCH, GroupCommit


class Database:
    """Flushes that end when they are told to, after as many seconds as they are told."""

    def __init__(self, monkeypatch):
        self.sizes = []
        self.now = 100.0
        self._flushing = None
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)

    async def __call__(self, batch, seconds):
        self.sizes.append(len(batch))
        self._flushing = asyncio.get_running_loop().create_future()
        await self._flushing
        for pending in batch:
            pending.succeed(pending.action)
        return ()

    async def flushed(self, seconds):
        """The flush under way ends, and the next begins where some wait."""
        self.now += seconds
        self._flushing.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def database(monkeypatch):
    return Database(monkeypatch)


async def submit(commit, count):
    answers = [commit.submit(number, str(number)) for number in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    return answers


async def test_one_alone_waits_for_nobody_and_the_rest_shares_a_flush(database):
    commit = GroupCommit(database)
    answers = await submit(commit, 1) + await submit(commit, 30)
    await database.flushed(0.003)
    await database.flushed(0.01)
    assert database.sizes == [1, 30]
    assert await asyncio.gather(*answers) == [0, *range(30)]


async def test_more_than_are_answered_in_time_may_not_wait(database):
    """At 256 a second half of four seconds is room for 512, and a quarter for a flush of 256."""
    commit = GroupCommit(database, timeout=4.0, max_batch=512)
    await submit(commit, 1)
    await submit(commit, 2000)
    assert commit.room == 10_000
    await database.flushed(0.001)
    await database.flushed(2.0)
    assert database.sizes == [1, 512, 256]
    assert commit.room == 512
    with pytest.raises(Overloaded):
        commit.submit(0, "one more")


async def test_there_is_room_again_once_it_goes_faster(database):
    commit = GroupCommit(database, timeout=4.0, max_batch=512)
    await submit(commit, 1)
    await submit(commit, 1500)
    await database.flushed(0.001)
    await database.flushed(2.0)
    assert commit.room == 512
    await database.flushed(0.25)
    assert commit.room == 2048
    assert database.sizes == [1, 512, 256, 512]


async def test_a_slow_moment_of_one_alone_closes_no_door(database):
    commit = GroupCommit(database, timeout=4.0, max_batch=512)
    await submit(commit, 1)
    await submit(commit, 500)
    await database.flushed(3.0)
    assert commit.room == 512
    commit.submit(0, "one more")
    assert database.sizes == [1, MIN_BATCH]


async def test_memory_is_bounded_whatever_the_pace(database):
    commit = GroupCommit(database, max_waiting=10)
    await submit(commit, 1)
    await submit(commit, 10)
    with pytest.raises(Overloaded):
        commit.submit(0, "one more")
