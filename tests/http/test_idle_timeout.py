"""Idle connections are closed after the timeout."""

from __future__ import annotations

import asyncio

from tests.support.wait import eventually
from tornado_app.http.idle_timeout import IdleTimeouts

PATIENCE = 10.0
MOST = 0.05


class Stream:
    """A connection that knows when it was closed."""

    closed_at = None

    def close(self):
        self.closed_at = asyncio.get_running_loop().time()


async def test_connection_is_closed_after_its_own_timeout():
    loop, idle = asyncio.get_running_loop(), IdleTimeouts(MOST)
    streams, since = [Stream(), Stream()], []
    for stream in streams:
        idle.track(stream)
        since.append(loop.time())
        await asyncio.sleep(MOST / 2)
    await eventually(lambda: all(stream.closed_at for stream in streams), PATIENCE)
    assert all(stream.closed_at >= began + MOST - 0.001 for stream, began in zip(streams, since, strict=True))
    assert (len(idle), idle._timer) == (0, None)


async def test_track_again_restarts_the_timeout():
    loop, idle, busy, other = asyncio.get_running_loop(), IdleTimeouts(MOST), Stream(), Stream()
    idle.track(busy)
    idle.track(other)
    last = 0.0
    while other.closed_at is None:
        idle.untrack(busy)
        idle.track(busy)
        last = loop.time()
        await asyncio.sleep(MOST / 10)
    await eventually(lambda: busy.closed_at is not None, PATIENCE)
    assert busy.closed_at >= last + MOST - 0.001 > other.closed_at


async def test_untracked_connection_is_not_closed():
    idle, asked, other = IdleTimeouts(MOST), Stream(), Stream()
    idle.track(asked)
    idle.untrack(asked)
    idle.untrack(asked)
    idle.track(other)
    await eventually(lambda: other.closed_at is not None, PATIENCE)
    assert asked.closed_at is None


async def test_close_stops_all_timeouts():
    idle, stream = IdleTimeouts(MOST), Stream()
    idle.track(stream)
    timer = idle._timer
    idle.close()
    assert timer.cancelled()
    assert (len(idle), stream.closed_at) == (0, None)
