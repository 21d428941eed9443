"""How a broken stream is continued: when its position is kept, and when it is given up."""

import asyncio

import pytest
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout, ServerSelectionTimeoutError

from tests.support.wait import eventually
from tornado_app.mongo.change_stream.source import follow
from tornado_app.runtime.tasks import cancel_and_wait


class Stream:
    """A stream whose attempts all raise one error. `advances`: whether an answer comes before it."""

    def __init__(self, error, *, advances=False):
        self.error, self.advances = error, advances
        self.position, self.calls, self.broken = {}, 0, 0
        self.lost = asyncio.get_running_loop().create_future()

    async def once(self):
        self.calls += 1
        if self.advances:
            self.position = {}
        raise self.error

    def on_broken(self, reason):
        self.broken += 1

    async def run(self):
        on_lost = self.lost.set_result
        await follow(
            self.once, on_lost=on_lost, on_broken=self.on_broken, position=lambda: self.position, resume_timeout=0.5
        )


@pytest.mark.parametrize("error", [NetworkTimeout(), ExecutionTimeout("exceeded time limit", 50)], ids=repr)
async def test_follow_gives_up_a_position_at_which_no_answer_comes_in_time(error):
    stream = Stream(error)
    running = asyncio.ensure_future(stream.run())
    async with asyncio.timeout(20):
        assert await stream.lost == "resume_timeout"
    assert stream.calls == stream.broken + 1 > 2
    await cancel_and_wait(running)


@pytest.mark.parametrize(
    ("error", "advances"),
    [(NetworkTimeout(), True), (ServerSelectionTimeoutError(), False), (AutoReconnect(), False)],
    ids=["answers between", "no server", "reset"],
)
async def test_follow_keeps_the_position_if_the_server_answers_or_is_away(error, advances):
    stream = Stream(error, advances=advances)
    running = asyncio.ensure_future(stream.run())
    began = asyncio.get_running_loop().time()
    await eventually(lambda: stream.broken > 2 and asyncio.get_running_loop().time() > began + 1)
    assert not stream.lost.done()
    await cancel_and_wait(running)
