"""Group commit lets no more wait than it can answer soon, whatever the database's speed."""

import asyncio

import pytest

from tornado_app.core.errors import Overloaded
from tornado_app.core.model import Action, Profile
from tornado_app.mongo.commit import PATIENCE, GroupCommit

BATCH, TIMEOUT = 10, 4.0
ACTION = Action("alice", 1, None, b"f", Profile(), create=True)


class Database:
    """Answers a flush when it is told to, as after so many seconds."""

    def __init__(self):
        self.answer = asyncio.Event()

    async def __call__(self, batch, seconds):
        await self.answer.wait()
        self.answer.clear()
        for pending in batch:
            pending.succeed(None)
        return ()


def room(commit):
    """How many more it takes."""
    taken = 0
    while True:
        try:
            commit.submit(ACTION, "op")
        except Overloaded:
            return taken
        taken += 1


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.01, 1000),  # 1,000 a second: 1,000 may wait for a second
        (0.1, 100),
        (5.0, BATCH),  # never less than a batch
        (0.000001, 5000),  # never more than memory is meant for
    ],
)
async def test_as_many_may_wait_as_the_last_full_batch_was_fast(seconds, expected, monkeypatch):
    database, loop, now = Database(), asyncio.get_running_loop(), [0.0]
    commit = GroupCommit(database, timeout=TIMEOUT, max_waiting=5000, max_batch=BATCH)
    with monkeypatch.context() as clock:
        clock.setattr(loop, "time", lambda: now[0])
        answers = [commit.submit(ACTION, "op") for _ in range(BATCH)]
        await asyncio.sleep(0)
        now[0] += seconds
        database.answer.set()
        await asyncio.gather(*answers)
        await asyncio.sleep(0)
    assert PATIENCE * TIMEOUT == 1.0
    assert room(commit) == pytest.approx(expected, abs=1)
    with pytest.raises(Overloaded):
        commit.check_room()
