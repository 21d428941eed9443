"""The group commit without a database: batches, capacity, retries."""

import asyncio

import pytest

from tests.support.wait import eventually
from tornado_app.core.errors import DatabaseError, Overloaded
from tornado_app.mongo.players.group_commit import MIN_BATCH, GroupCommit


class Database:
    """Flushes that end when the test calls `flushed`, after as many seconds as it says."""

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
        """End the current flush; the next one begins if actions wait."""
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


async def test_group_commit_writes_the_first_at_once_and_the_rest_together(database):
    commit = GroupCommit(database)
    answers = await submit(commit, 1) + await submit(commit, 30)
    await database.flushed(0.003)
    await database.flushed(0.01)
    assert database.sizes == [1, 30]
    assert await asyncio.gather(*answers) == [0, *range(30)]


async def test_group_commit_capacity_shrinks_with_a_slow_database(database):
    """At 256 writes per second, half of the timeout of 4 s allows 512 waiting, and a quarter a batch of 256."""
    commit = GroupCommit(database, timeout=4.0, max_batch=512)
    await submit(commit, 1)
    await submit(commit, 2000)
    assert commit.capacity == 10_000
    await database.flushed(0.001)
    await database.flushed(2.0)
    assert database.sizes == [1, 512, 256]
    assert commit.capacity == 512
    with pytest.raises(Overloaded):
        commit.submit(0, "one more")


async def test_group_commit_capacity_grows_with_a_faster_database(database):
    commit = GroupCommit(database, timeout=4.0, max_batch=512)
    await submit(commit, 1)
    await submit(commit, 1500)
    await database.flushed(0.001)
    await database.flushed(2.0)
    assert commit.capacity == 512
    await database.flushed(0.25)
    assert commit.capacity == 2048
    assert database.sizes == [1, 512, 256, 512]


async def test_group_commit_capacity_stays_after_one_slow_single_write(database):
    commit = GroupCommit(database, timeout=4.0, max_batch=512)
    await submit(commit, 1)
    await submit(commit, 500)
    await database.flushed(3.0)
    assert commit.capacity == 512
    commit.submit(0, "one more")
    assert database.sizes == [1, MIN_BATCH]


async def test_group_commit_refuses_more_than_max_waiting(database):
    commit = GroupCommit(database, max_waiting=10)
    await submit(commit, 1)
    await submit(commit, 10)
    with pytest.raises(Overloaded):
        commit.submit(0, "one more")


class Contested:
    """Flushes in which the actions in `losers` always lose the race; `flushes` has the actions of each."""

    def __init__(self, *losers):
        self.losers, self.flushes = losers, []

    async def __call__(self, batch, seconds):
        await asyncio.sleep(0)
        self.flushes.append([pending.action for pending in batch])
        lost = [pending for pending in batch if pending.action in self.losers]
        for pending in batch:
            if pending in lost:
                pending.lost_races += 1
            else:
                pending.succeed(pending.action)
        return lost


async def test_group_commit_retries_a_lost_race_until_its_timeout():
    database = Contested("unlucky")
    commit = GroupCommit(database, timeout=0.5)
    with pytest.raises(DatabaseError):
        await commit.submit("unlucky", "write_id")
    assert 3 <= len(database.flushes) <= 12
    await commit.close()


async def test_group_commit_retries_do_not_delay_other_actions():
    database = Contested("unlucky")
    commit = GroupCommit(database, timeout=30.0)
    unlucky = [commit.submit("unlucky", str(n)) for n in range(6)]
    await eventually(lambda: len(database.flushes) > 4)
    assert await asyncio.gather(*(commit.submit(n, f"other {n}") for n in range(50))) == list(range(50))
    assert any(set(range(50)) <= set(flush) for flush in database.flushes)
    assert commit.waiting == 6
    database.losers = ()
    assert await asyncio.gather(*unlucky) == ["unlucky"] * 6
    await commit.close()


async def test_group_commit_close_answers_paused_actions():
    database = Contested("unlucky")
    commit = GroupCommit(database, timeout=30.0)
    answer = commit.submit("unlucky", "write_id")
    await eventually(lambda: len(database.flushes) > 3)
    closing = asyncio.ensure_future(commit.close())
    await asyncio.sleep(0)
    database.losers = ()
    assert await answer == "unlucky"
    await closing


async def test_group_commit_counts_paused_actions_as_waiting():
    commit = GroupCommit(Contested("unlucky"), timeout=30.0, max_waiting=1)
    commit.submit("unlucky", "write_id")
    await eventually(lambda: commit._paused)
    commit.capacity = 1  # as with a slow database
    with pytest.raises(Overloaded):
        commit.submit("other", "op 2")
    commit._flush.losers = ()
    await commit.close()
