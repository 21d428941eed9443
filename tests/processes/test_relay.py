"""Events from the supervisor to a worker, over a real pair of sockets."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
from bson import Timestamp

from tests.processes.test_event_log import batch, begun, idle, put
from tests.support.wait import eventually
from tornado_app.core.history import HistoryEntry
from tornado_app.mongo.change_stream.events import OTHER, SCORE, HistoryLost, PlayerEvent
from tornado_app.mongo.change_stream.source import EventBatch
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.processes.relay import RelayedEvents, serve_events

START = Timestamp(0, 101)
"""The time after version 100."""


@asynccontextmanager
async def relay(log):
    """The source of a worker, and the task that serves it."""
    supervisor_end, worker_end = socket.socketpair()
    serving = asyncio.ensure_future(serve_events(supervisor_end, log))
    source = await RelayedEvents.from_socket(worker_end)
    try:
        yield source, serving
    finally:
        await source.close()
        async with asyncio.timeout(5):
            await serving


async def following(batches):
    async with asyncio.timeout(5):
        return await anext(batches)


async def next_events(batches):
    """The versions of the next message with events."""
    while not (found := versions(await following(batches))):
        pass
    return found


async def read_all(batches):
    async with asyncio.timeout(5):
        async for _ in batches:
            pass


def versions(received):
    return [event.version for event in received.events]


def test_start_of_these_tests_is_after_version_100():
    assert cluster_time_to_int(START) == 101


async def test_relayed_events_are_those_that_were_read():
    entry = HistoryEntry("a", -(2**63), "w.1", 5, 60, "bob", "id-1", b"\x00f", "level", "C", on_board=False)
    events = [
        PlayerEvent("update", "Zoë", 2**53 - 3, SCORE | OTHER, 7, (entry,), 2**63 - 1, -5, hidden=True, board="kart"),
        PlayerEvent("delete", "", 2**53 - 2),
        PlayerEvent("insert", "alice", 2**53 - 1, updated_at=253_402_300_799_999),
    ]
    token = {"_data": "82", "_typeBits": b"@\x00"}
    log = begun()
    sent = EventBatch(1.5, version=2**53 - 1, token=token, events=events)
    log.put(sent)
    async with relay(log) as (source, _):
        received = await following(source.read(START))
    assert received == sent


async def test_relay_skips_events_before_the_start():
    log = begun()
    await put(log, batch(101, 102, 103, 104), batch(105))
    async with relay(log) as (source, _):
        batches = source.read(Timestamp(0, 103))
        assert [versions(await following(batches)) for _ in range(2)] == [[103, 104], [105]]


async def test_relay_keeps_the_events_for_a_worker_that_is_loading():
    log = begun(in_flight=0)
    async with relay(log) as (loading, _), relay(log) as (other, _):
        batches = other.read(START)
        for version in range(101, 110):
            await put(log, batch(version))
            assert versions(await following(batches)) == [version]
        batches = loading.read(START)
        assert [versions(await following(batches)) for _ in range(9)] == [[version] for version in range(101, 110)]


async def test_relay_treats_all_events_of_one_time_alike():
    """A snapshot contains all of its time, or none; those of two shards may be in two messages."""
    log = begun()
    await put(log, batch(102), batch(103))
    async with relay(log) as (before, _), relay(log) as (after, _):
        all_of_103, none_of_103 = before.read(Timestamp(0, 103)), after.read(Timestamp(0, 104))
        assert versions(await following(all_of_103)) == [103]
        first = asyncio.ensure_future(next_events(none_of_103))
        await asyncio.sleep(0)
        await put(log, batch(103), batch(103, 104))
        assert [versions(await following(all_of_103)) for _ in range(2)] == [[103], [103, 104]]
        assert await first == [104]


async def test_relay_reports_a_lost_history_and_serves_the_next_request():
    log = begun()
    async with relay(log) as (source, serving):
        batches = source.read(START)
        await put(log, batch(101))
        assert versions(await following(batches)) == [101]
        log.begin(200, "drop")
        with pytest.raises(HistoryLost, match="drop"):
            await following(batches)
        with pytest.raises(HistoryLost, match="drop"):
            await following(source.read(START))
        await put(log, batch(201))
        assert versions(await following(source.read(Timestamp(0, 201)))) == [201]
        assert not serving.done()


async def test_relay_skips_the_answer_to_an_earlier_request():
    log = begun()
    await put(log, *(batch(version) for version in range(101, 120)))
    async with relay(log) as (source, _):
        earlier = source.read(START)
        assert versions(await following(earlier)) == [101]
        await earlier.aclose()
        assert versions(await following(source.read(Timestamp(0, 115)))) == [115]


async def test_relay_does_not_resume_at_a_token():
    """A feed with a relay loses its history instead: events of one time could be in two messages."""
    async with relay(begun()) as (source, _):
        with pytest.raises(HistoryLost):
            await following(source.read({"_data": "82"}))


async def test_worker_that_does_not_read_delays_no_other_and_loses_the_history():
    log = begun(max_bytes=100_000)
    async with relay(log) as (slow, _), relay(log) as (fast, _):
        unread, batches = slow.read(START), fast.read(START)
        await put(log, batch(101))
        assert versions(await following(unread)) == versions(await following(batches)) == [101]
        for first in range(102, 200_102, 200):  # more than the sockets buffer
            await put(log, batch(*range(first, first + 200)))
            assert versions(await following(batches))[0] == first
        with pytest.raises(HistoryLost, match="history_lost"):
            await read_all(unread)
        assert versions(await following(slow.read(Timestamp(0, 200_050))))[0] == 200_050


async def test_relay_ends_with_the_worker():
    log = begun()
    async with relay(log) as (source, serving):
        await put(log, *(batch(*range(first, first + 200)) for first in range(101, 100_101, 200)))
        assert versions(await following(source.read(START)))[0] == 101
        await source.close()  # while much is unread
        await eventually(serving.done)
        assert serving.exception() is None


async def test_worker_waits_when_the_supervisor_ends():
    """The supervisor's end ends the worker, over the control channel or by the kernel."""
    supervisor_end, worker_end = socket.socketpair()
    source = await RelayedEvents.from_socket(worker_end)
    reading = asyncio.ensure_future(anext(source.read(START)))
    supervisor_end.close()
    done, _ = await asyncio.wait([reading], timeout=0.1)
    assert not done
    reading.cancel()
    await asyncio.wait([reading])
    await source.close()


async def test_relay_sends_the_position_of_an_idle_stream():
    log = begun()
    async with relay(log) as (source, _):
        batches = source.read(START)
        await put(log, idle(120, 9.0))
        received = await following(batches)
    assert (received.read_at, received.at_end, received.version, list(received.events)) == (9.0, True, 120, [])
