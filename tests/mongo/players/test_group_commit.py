"""The group commit by itself: which submissions share a batch, which may wait, and for how long."""

import asyncio
import random
from collections import deque
from types import SimpleNamespace

import pytest

from tests.support.wait import eventually
from tornado_app.core.errors import DatabaseError, Overloaded
from tornado_app.mongo.players.group_commit import GATHER, MAX_FOLDED, MIN_BATCH, GroupCommit, PendingLimit


def of(user_id):
    """An action, as far as the group commit looks at one."""
    return SimpleNamespace(user_id=user_id)


class Database:
    """Batches that end when the test says so, oldest first, after as many seconds as it says."""

    def __init__(self, monkeypatch):
        self.batches = []
        self.now = 100.0
        self._in_flight = deque()
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)

    @property
    def sizes(self):
        return [len(batch) for batch in self.batches]

    async def __call__(self, batch, seconds):
        self.batches.append([pending.action.user_id for pending in batch])
        ended = asyncio.get_running_loop().create_future()
        self._in_flight.append(ended)
        await ended
        for pending in batch:
            pending.succeed(pending.action.user_id)
        return ()

    async def end_batches(self, seconds=0.0, at_once=1, gather=GATHER):
        """The oldest batches in flight end, and the next begin where some wait, `gather` seconds later."""
        await self.pass_time(seconds)
        for _ in range(min(at_once, len(self._in_flight))):
            self._in_flight.popleft().set_result(None)
        await settle()
        await self.pass_time(gather)

    async def pass_time(self, seconds):
        self.now += seconds
        await settle()

    def in_flight(self):
        """The players of each batch in flight."""
        return self.batches[len(self.batches) - len(self._in_flight) :]


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def database(monkeypatch):
    return Database(monkeypatch)


async def submit(commit, count):
    answers = [commit.submit(of(number), str(number)) for number in range(count)]
    await settle()
    return answers


async def test_group_commit_writes_the_first_at_once_and_the_rest_together(database):
    commit = GroupCommit(database, max_in_flight=1)
    answers = await submit(commit, 1) + await submit(commit, 30)
    await database.end_batches(0.003)
    await database.end_batches(0.01)
    assert database.sizes == [1, 30]
    assert await asyncio.gather(*answers) == [0, *range(30)]


async def test_group_commit_capacity_shrinks_with_a_slow_database(database):
    """At 256 writes per second, half of the timeout of 4 s allows 512 waiting, and a quarter a batch of 256."""
    commit = GroupCommit(database, timeout=4.0, max_batch=512, max_in_flight=1)
    await submit(commit, 1)
    await submit(commit, 2000)
    assert commit.capacity == 10_000
    await database.end_batches(0.001, gather=0)
    await database.end_batches(2.0, gather=0)
    assert database.sizes == [1, 512, 256]
    assert commit.capacity == 512
    with pytest.raises(Overloaded):
        commit.submit(of(0), "one more")


async def test_group_commit_capacity_grows_with_a_faster_database(database):
    commit = GroupCommit(database, timeout=4.0, max_batch=512, max_in_flight=1)
    await submit(commit, 1)
    await submit(commit, 1500)
    await database.end_batches(0.001, gather=0)
    await database.end_batches(2.0, gather=0)
    assert commit.capacity == 512
    await database.end_batches(0.25, gather=0)
    assert commit.capacity == 2048
    assert database.sizes == [1, 512, 256, 512]


async def test_group_commit_capacity_stays_after_one_slow_single_write(database):
    commit = GroupCommit(database, timeout=4.0, max_batch=512, max_in_flight=1)
    await submit(commit, 1)
    await submit(commit, 500)
    await database.end_batches(3.0)
    assert commit.capacity == 512
    commit.submit(of(0), "one more")
    assert database.sizes == [1, MIN_BATCH]


async def test_group_commit_refuses_more_than_max_waiting(database):
    commit = GroupCommit(database, limit=PendingLimit(10), max_in_flight=1)
    await submit(commit, 1)
    await submit(commit, 10)
    with pytest.raises(Overloaded):
        commit.submit(of(0), "one more")


async def test_group_commits_of_several_boards_share_one_limit(database):
    limit = PendingLimit(3)
    main, kart = (GroupCommit(database, limit=limit, max_in_flight=1) for _ in range(2))
    for commit in (main, kart):
        await submit(commit, 1)
    main.submit(of("alice"), "1")
    kart.submit(of(0), "2")  # waits behind its player's batch
    kart.submit(of("alice"), "3")
    assert (limit.waiting, main.waiting, kart.waiting) == (3, 1, 2)
    for commit in (main, kart):
        assert commit.full
        with pytest.raises(Overloaded):
            commit.submit(of("bob"), "4")
    await database.end_batches(at_once=2)
    assert (limit.waiting, main.full, kart.full) == (0, False, False)
    await database.end_batches(at_once=2)
    await asyncio.gather(main.close(), kart.close())


class Contested:
    """Writes batches in which the actions of `losers` always lose a race."""

    def __init__(self, *losers):
        self.losers, self.batches = losers, []

    async def __call__(self, batch, seconds):
        await asyncio.sleep(0)
        self.batches.append([pending.action.user_id for pending in batch])
        lost = [pending for pending in batch if pending.action.user_id in self.losers]
        for pending in batch:
            if pending in lost:
                pending.lost_races += 1
            else:
                pending.succeed(pending.action.user_id)
        return lost


async def test_group_commit_retries_a_lost_race_until_its_timeout():
    database = Contested("unlucky")
    commit = GroupCommit(database, timeout=0.5)
    with pytest.raises(DatabaseError):
        await commit.submit(of("unlucky"), "write_id")
    assert 3 <= len(database.batches) <= 12
    await commit.close()


async def test_group_commit_retries_do_not_delay_other_actions():
    database = Contested("unlucky")
    commit = GroupCommit(database, timeout=30.0)
    unlucky = [commit.submit(of("unlucky"), str(n)) for n in range(6)]
    await eventually(lambda: len(database.batches) > 4)
    assert await asyncio.gather(*(commit.submit(of(n), f"other {n}") for n in range(50))) == list(range(50))
    assert any(set(range(50)) <= set(batch) for batch in database.batches)
    assert commit.waiting == 6
    database.losers = ()
    assert await asyncio.gather(*unlucky) == ["unlucky"] * 6
    await commit.close()


async def test_group_commit_close_answers_paused_actions():
    database = Contested("unlucky")
    commit = GroupCommit(database, timeout=30.0)
    answer = commit.submit(of("unlucky"), "write_id")
    await eventually(lambda: len(database.batches) > 3)
    closing = asyncio.ensure_future(commit.close())
    await asyncio.sleep(0)
    database.losers = ()
    assert await answer == "unlucky"
    await closing


async def test_group_commit_counts_paused_actions_as_waiting():
    limit = PendingLimit(1)
    commit = GroupCommit(Contested("unlucky"), timeout=30.0, limit=limit)
    commit.submit(of("unlucky"), "write_id")
    # A pause between two attempts shows nowhere else.
    await eventually(lambda: commit._paused)
    commit.capacity = 1  # as with a slow database
    with pytest.raises(Overloaded):
        commit.submit(of("other"), "op 2")
    # The fake database of this commit.
    commit._write_batch.losers = ()
    await commit.close()
    assert limit.waiting == 0


# -- callers that submit again at once ------------------------------------------------------------------


async def test_group_commit_batch_waits_for_callers_just_answered(database):
    commit = GroupCommit(database)
    await submit(commit, 1)
    await submit(commit, 7)
    await database.end_batches(gather=0)
    assert database.sizes == [1]
    commit.submit(of("the first, again"), "w")
    await settle()
    assert database.sizes == [1, 8]
    await database.end_batches(gather=0)
    for number in range(8):
        assert database.sizes == [1, 8]
        commit.submit(of(number), "w")
        await settle()
    assert database.sizes == [1, 8, 8]


async def test_group_commit_batch_begins_without_callers_that_do_not_return(database):
    commit = GroupCommit(database)
    await submit(commit, 1)
    await submit(commit, 7)
    await database.end_batches(gather=GATHER / 2)
    assert database.sizes == [1]
    await database.pass_time(GATHER / 2)
    assert database.sizes == [1, 7]
    await database.end_batches()
    await submit(commit, 1)
    assert database.sizes == [1, 7, 1]


async def test_group_commit_batch_of_a_lone_caller_begins_at_once(database):
    commit = GroupCommit(database)
    for number in range(3):
        await submit(commit, 1)
        assert database.sizes == [1] * (number + 1)
        await database.end_batches(gather=0)


async def test_group_commit_batch_waits_for_no_more_than_make_a_further_batch(database):
    commit = GroupCommit(database, max_in_flight=1, min_concurrent=8)
    await submit(commit, 1)
    await submit(commit, 30)
    await database.end_batches(gather=0)
    assert database.sizes == [1, 30]


# -- several batches in flight ------------------------------------------------------------------------


async def test_group_commit_begins_a_further_batch_only_for_enough_submissions(database):
    commit = GroupCommit(database, max_in_flight=2, min_concurrent=8)
    await submit(commit, 1)
    for number in range(7):
        commit.submit(of(f"a{number}"), "w")
    await settle()
    assert database.sizes == [1]
    commit.submit(of("a7"), "w")
    await settle()
    assert database.sizes == [1, 8]
    for number in range(20):
        commit.submit(of(f"b{number}"), "w")
    await settle()
    assert database.sizes == [1, 8]  # no more than two
    await database.end_batches()
    assert database.sizes == [1, 8, 20]


async def test_group_commit_has_a_player_in_one_batch_at_a_time(database):
    commit = GroupCommit(database, max_in_flight=3, min_concurrent=1)
    first = commit.submit(of("hot"), "w")
    await settle()
    later = [commit.submit(of(name), "w") for name in ("hot", "other", "hot")]
    await settle()
    assert database.batches == [["hot"], ["other"]]
    assert commit.waiting == 2
    await database.end_batches()
    assert (database.batches[2:], first.result(), commit.waiting) == ([["hot", "hot"]], "hot", 0)
    await database.end_batches()
    await database.end_batches()
    assert [answer.result() for answer in later] == ["hot", "other", "hot"]
    assert not commit.busy


async def test_group_commit_hot_player_leaves_room_for_others(database):
    commit = GroupCommit(database, max_batch=4 * MAX_FOLDED, max_in_flight=1)
    answers = await submit(commit, 1)
    answers += [commit.submit(of("hot"), "w") for _ in range(1000)]
    answers += [commit.submit(of(f"other {n}"), "w") for n in range(30)]
    await database.end_batches()
    assert database.batches[1].count("hot") == MAX_FOLDED
    assert database.sizes[1] == MAX_FOLDED + 30
    while not all(answer.done() for answer in answers):
        await database.end_batches()
    assert sum(batch.count("hot") for batch in database.batches) == 1000
    assert {answer.result() for answer in answers} == {0, "hot", *(f"other {n}" for n in range(30))}


async def test_group_commit_hot_players_do_not_block_the_queue(database):
    """Eight players that keep more open than a batch holds, and one that comes later."""
    commit = GroupCommit(database, max_batch=64, max_in_flight=1)
    for hot in range(8):
        for _ in range(130):
            commit.submit(of(f"hot {hot}"), "w")
    await settle()
    quiet = commit.submit(of("quiet"), "w")
    for _ in range(40):
        for user in database.in_flight()[0]:
            commit.submit(of(user), "w")  # each answered one is followed by another
        await database.end_batches()
        if quiet.done():
            break
    assert len(database.batches) <= 30
    assert quiet.done()
    while commit.busy:
        await database.end_batches()


async def test_group_commit_refuses_expired_submissions_without_writing_them(database):
    commit = GroupCommit(database, timeout=1.0, max_in_flight=1)
    first = await submit(commit, 1)
    late = [commit.submit(of(f"late {n}"), "w") for n in range(3)]
    database.now += 0.5
    fresh = [commit.submit(of(f"fresh {n}"), "w") for n in range(3)]
    await database.end_batches(0.4)  # 0.1 s are left of the late ones
    assert [type(answer.exception()) for answer in late] == [DatabaseError] * 3
    assert database.batches[1] == ["fresh 0", "fresh 1", "fresh 2"]
    await database.end_batches()
    assert all(answer.result() for answer in fresh)
    assert first[0].result() == 0


async def test_group_commit_capacity_counts_only_batches_in_flight(database):
    commit = GroupCommit(database, timeout=4.0, max_batch=512, max_in_flight=3, min_concurrent=32)
    await submit(commit, 400)
    assert len(database.sizes) == 1
    await database.end_batches(1.0)
    assert commit.capacity == 800


@pytest.mark.parametrize("players", [1, 3, 1000])
async def test_group_commit_answers_each_submission_once_however_batches_end(database, players):
    """Few players, so that they are in flight, and batches too small for all that wait."""
    chance = random.Random(players)
    commit = GroupCommit(database, max_batch=8, max_in_flight=3, min_concurrent=2)
    answers = []
    for _ in range(300):
        answers += [commit.submit(of(chance.randrange(players)), "w") for _ in range(chance.randrange(8))]
        await settle()
        in_flight = [user for batch in database.in_flight() for user in set(batch)]
        assert len(in_flight) == len(set(in_flight))
        while commit.busy and chance.random() < 0.7:
            await database.end_batches(chance.choice([0.0, 0.001]), at_once=chance.choice([1, 3]))
    while commit.busy:
        await database.end_batches()
    assert all(answer.done() for answer in answers)
    assert commit.waiting == 0
    assert sum(database.sizes) == len(answers)
