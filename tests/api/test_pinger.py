"""Who is pinged when, and who is given up."""

import asyncio
from itertools import pairwise

import pytest

from tests.support.wait import eventually
from tornado_app.api.websocket import heartbeat as module
from tornado_app.api.websocket.heartbeat import Pinger

PATIENCE = 10.0


class Client:
    """One that answers at once, or never."""

    def __init__(self, *, answers=True):
        self.pong, self.answers = False, answers
        self.pings, self.gone = [], False

    def send_ping(self):
        self.pings.append(asyncio.get_running_loop().time())
        self.pong = self.answers

    def timed_out(self):
        self.gone = True


async def test_who_answers_is_pinged_again_and_again():
    pinger, client = Pinger(0.02), Client()
    joined = asyncio.get_running_loop().time()
    pinger.join(client)
    await eventually(lambda: len(client.pings) >= 3, PATIENCE)
    times = [joined, *client.pings]
    assert all(after - before >= 0.019 for before, after in pairwise(times))
    assert not client.gone
    pinger.leave(client)


async def test_who_does_not_answer_is_given_up_after_one_ping():
    pinger, dead, alive = Pinger(0.02), Client(answers=False), Client()
    pinger.join(dead)
    pinger.join(alive)
    await eventually(lambda: dead.gone, PATIENCE)
    assert len(dead.pings) == 1
    assert len(pinger) == 1
    await eventually(lambda: len(alive.pings) >= 3, PATIENCE)
    assert not alive.gone
    pinger.leave(alive)


async def test_who_has_left_is_not_pinged_and_no_timer_stays():
    pinger, client, other = Pinger(0.02), Client(), Client()
    pinger.join(client)
    pinger.leave(client)
    pinger.leave(client)
    assert pinger._timer is None
    pinger.join(other)
    await eventually(lambda: len(other.pings) >= 2, PATIENCE)
    assert client.pings == []
    pinger.leave(other)
    assert pinger._timer is None


async def test_many_are_pinged_in_parts(monkeypatch):
    """Others get their turn between two parts."""
    monkeypatch.setattr(module, "CHUNK", 2)
    pinger, clients, seen = Pinger(0.05), [Client() for _ in range(5)], []
    for client in clients:
        pinger.join(client)
    while not seen or seen[-1] < 5:
        async with asyncio.timeout(PATIENCE):
            await asyncio.sleep(0)
        seen.append(sum(bool(client.pings) for client in clients))
    assert max(after - before for before, after in pairwise([0, *seen])) <= module.CHUNK
    for client in clients:
        pinger.leave(client)


@pytest.mark.parametrize("leaves", ["send_ping", "timed_out"])
async def test_a_client_may_leave_while_it_is_served(leaves):
    """As one does whose connection turns out to be closed."""
    pinger, client = Pinger(0.01), Client(answers=False)
    setattr(client, leaves, lambda: (pinger.leave(client), setattr(client, "gone", True)))
    pinger.join(client)
    await eventually(lambda: client.gone, PATIENCE)
    assert len(pinger) == 0
    assert pinger._timer is None


async def test_no_interval_is_no_pings():
    pinger, client = Pinger(0), Client()
    pinger.join(client)
    assert len(pinger) == 0
