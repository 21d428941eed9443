"""Tasks that lose a cancellation, as PyMongo's calls on Python 3.11 may, end all the same."""

import asyncio
import gc

import pytest

from tornado_app.runtime import tasks
from tornado_app.runtime.tasks import cancel_and_wait, jittered, run_until_first_exits


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(tasks, "CANCEL_INTERVAL", 0.01)


async def _deaf(times):
    """Loses its cancellations, so many times."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if times == 0:
                raise
            times -= 1


async def test_a_task_that_loses_cancellations_ends():
    deaf, done = asyncio.ensure_future(_deaf(3)), asyncio.get_running_loop().create_future()
    done.set_result(None)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_and_wait(deaf, done)
    assert deaf.cancelled()
    assert not done.cancelled()


async def test_what_runs_side_by_side_ends_when_it_is_cancelled():
    both = asyncio.ensure_future(run_until_first_exits(_deaf(3), _deaf(0)))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_and_wait(both)
    assert both.cancelled()


async def test_a_fault_of_one_ends_the_other_and_is_raised():
    async def fail():
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        async with asyncio.timeout(5):
            await run_until_first_exits(_deaf(2), fail())


async def test_a_fault_that_a_cancellation_turns_into_is_no_line_of_asyncio_s(caplog):
    async def fail():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise OSError("as a driver may") from None

    both = asyncio.ensure_future(run_until_first_exits(fail(), _deaf(0)))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_and_wait(both)
    assert both.cancelled()
    del both
    gc.collect()
    assert caplog.messages == []


def test_jittered_stays_within_its_bounds_and_varies():
    found = {jittered(10, 0.5, 1.5) for _ in range(100)}
    assert all(5 <= each <= 15 for each in found)
    assert len(found) > 1
