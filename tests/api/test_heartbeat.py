"""Heartbeats: when a client is pinged, and when it times out."""

import asyncio
from itertools import pairwise

import pytest

from tests.support.wait import eventually
from tornado_app.api.websocket.heartbeat import Heartbeat

PATIENCE = 10.0


class Client:
    """A client that answers pings at once, or never."""

    def __init__(self, *, answers=True):
        self.pong, self.answers = False, answers
        self.pings, self.gone = [], False

    def send_ping(self):
        self.pings.append(asyncio.get_running_loop().time())
        self.pong = self.answers

    def timed_out(self):
        self.gone = True


async def test_client_that_responds_is_pinged_at_each_interval():
    heartbeat, client = Heartbeat(0.02), Client()
    joined = asyncio.get_running_loop().time()
    heartbeat.join(client)
    await eventually(lambda: len(client.pings) >= 3, PATIENCE)
    times = [joined, *client.pings]
    assert all(after - before >= 0.019 for before, after in pairwise(times))
    assert not client.gone
    heartbeat.leave(client)


async def test_client_without_a_pong_times_out_after_one_ping():
    heartbeat, dead, alive = Heartbeat(0.02), Client(answers=False), Client()
    heartbeat.join(dead)
    heartbeat.join(alive)
    await eventually(lambda: dead.gone, PATIENCE)
    assert len(dead.pings) == 1
    assert len(heartbeat) == 1
    await eventually(lambda: len(alive.pings) >= 3, PATIENCE)
    assert not alive.gone
    heartbeat.leave(alive)


async def test_disconnected_client_gets_no_ping_and_has_no_timer():
    heartbeat, client, other = Heartbeat(0.02), Client(), Client()
    heartbeat.join(client)
    heartbeat.leave(client)
    heartbeat.leave(client)
    # A timer that is left would keep the event loop busy; nothing else shows it.
    assert heartbeat._timer is None
    heartbeat.join(other)
    await eventually(lambda: len(other.pings) >= 2, PATIENCE)
    assert client.pings == []
    heartbeat.leave(other)
    assert heartbeat._timer is None


async def test_many_clients_are_pinged_in_chunks():
    """The event loop serves others between two chunks."""
    chunk = 2
    heartbeat, clients, seen = Heartbeat(0.05, chunk=chunk), [Client() for _ in range(5)], []
    for client in clients:
        heartbeat.join(client)
    while not seen or seen[-1] < 5:
        async with asyncio.timeout(PATIENCE):
            await asyncio.sleep(0)
        seen.append(sum(bool(client.pings) for client in clients))
    assert max(after - before for before, after in pairwise([0, *seen])) <= chunk
    for client in clients:
        heartbeat.leave(client)


@pytest.mark.parametrize("leaves", ["send_ping", "timed_out"])
async def test_client_may_disconnect_during_a_round(leaves):
    """As a client whose connection is closed."""
    heartbeat, client = Heartbeat(0.01), Client(answers=False)
    setattr(client, leaves, lambda: (heartbeat.leave(client), setattr(client, "gone", True)))
    heartbeat.join(client)
    await eventually(lambda: client.gone, PATIENCE)
    assert len(heartbeat) == 0
    assert heartbeat._timer is None


async def test_interval_of_zero_sends_no_pings():
    heartbeat, client = Heartbeat(0), Client()
    heartbeat.join(client)
    assert len(heartbeat) == 0
