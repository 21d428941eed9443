"""The supervisor's last events: each reader gets all of them in their order, or learns that it does not."""

import asyncio

import msgspec
import pytest

from tornado_app.mongo.change_stream.events import HistoryLost, PlayerEvent
from tornado_app.mongo.change_stream.source import EventBatch
from tornado_app.processes.channel import framed
from tornado_app.processes.event_log import EventLog

decode = msgspec.msgpack.Decoder(EventBatch).decode


def batch(*versions, read_at=1.0):
    events = [PlayerEvent("update", "p", version) for version in versions]
    return EventBatch(read_at, version=versions[-1], token={"_data": str(versions[-1])}, events=events)


def idle(version, read_at=1.0):
    return EventBatch(read_at, at_end=True, version=version, token={"_data": str(version)})


def begun(**options):
    log = EventLog(**options)
    log.begin(100, "")
    return log


async def put(log, *batches):
    """Add batches, each of which is a message."""
    for each in batches:
        log.put(each)
        await asyncio.sleep(0)


class Reader:
    """Reads the log from a version on."""

    def __init__(self, log, after):
        self._cursor = log.cursor()
        self._messages = log.read(after, self._cursor.__enter__())

    async def next(self):
        async with asyncio.timeout(5):
            return decode((await anext(self._messages))[4:])

    async def versions(self, number):
        """The versions of the events in the next messages."""
        return [[event.version for event in (await self.next()).events] for _ in range(number)]

    async def waits(self):
        """Whether there is no message yet."""
        waiting = asyncio.ensure_future(anext(self._messages))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        waiting.cancel()
        await asyncio.wait([waiting])
        return not done


async def test_reader_gets_all_messages_and_the_position_after_each():
    log = begun()
    await put(log, batch(101), batch(102, 103), idle(110, 7.0))
    reader = Reader(log, 100)
    assert await reader.next() == batch(101)
    assert await reader.versions(1) == [[102, 103]]
    assert await reader.next() == msgspec.structs.replace(idle(110, 7.0), events=[])
    later = asyncio.ensure_future(reader.next())
    await put(log, batch(111))
    assert await later == batch(111)


async def test_event_log_joins_events_that_come_without_a_pause():
    log = begun()
    for version in range(101, 104):
        log.put(batch(version))
    log.put(idle(104))
    events = [PlayerEvent("update", "p", version) for version in range(101, 104)]
    assert await Reader(log, 100).next() == msgspec.structs.replace(idle(104), events=events)


async def test_event_log_limits_the_events_of_a_message():
    log = begun()
    for version in range(101, 501):
        log.put(batch(version))
    assert [len(each) for each in await Reader(log, 100).versions(2)] == [200, 200]


async def test_reader_starts_after_its_position():
    log = begun()
    await put(log, batch(101), batch(105, 107), idle(108), batch(110))
    assert await Reader(log, 105).versions(3) == [[105, 107], [], [110]]
    assert await Reader(log, 108).versions(1) == [[110]]
    assert await Reader(log, 999).waits()


async def test_reader_waits_for_the_first_history():
    log = EventLog()
    first = asyncio.ensure_future(Reader(log, 100).next())
    await asyncio.sleep(0)
    log.begin(100, "")
    await put(log, batch(101))
    assert await first == batch(101)


async def test_reader_from_before_the_history_is_refused():
    with pytest.raises(HistoryLost, match="history_lost"):
        await Reader(begun(), 99).next()


async def test_slow_reader_loses_the_history_and_a_fast_one_does_not():
    log = begun(max_bytes=2000)
    slow, fast = Reader(log, 100), Reader(log, 100)
    await put(log, batch(101))
    assert await slow.versions(1) == await fast.versions(1) == [[101]]
    for version in range(102, 152):
        await put(log, batch(version))
        assert await fast.versions(1) == [[version]]
    with pytest.raises(HistoryLost, match="history_lost"):
        await slow.next()
    with pytest.raises(HistoryLost, match="history_lost"):
        await Reader(log, 101).next()
    assert await Reader(log, 150).versions(1) == [[151]]


async def test_event_log_keeps_messages_as_long_as_a_worker_may_need_them():
    log = begun(in_flight=0)
    with log.cursor() as loading:
        fast = Reader(log, 100)
        await put(log, batch(101), batch(102), batch(103))
        assert await fast.versions(3) == [[101], [102], [103]]
        messages = log.read(101, loading)
        assert decode((await anext(messages))[4:]).events == batch(102).events
    await put(log, batch(104))
    assert await fast.versions(1) == [[104]]
    with pytest.raises(HistoryLost, match="history_lost"):
        await Reader(log, 102).next()
    assert await Reader(log, 103).versions(1) == [[104]]


async def test_event_log_keeps_all_of_a_new_history_for_a_worker_that_read_the_former():
    log = begun(in_flight=0)
    with log.cursor() as cursor:
        await put(log, batch(101))
        messages = log.read(100, cursor)
        await anext(messages)
        log.begin(200, "drop")
        with pytest.raises(HistoryLost, match="drop"):
            await anext(messages)
        await put(log, batch(201), batch(202), batch(203))
        assert decode((await anext(log.read(200, cursor)))[4:]).events == batch(201).events


async def test_event_log_keeps_what_may_be_on_the_way_to_a_worker():
    """A worker that begins to read the board again may have read none of it."""
    log = begun(in_flight=200)
    reader = Reader(log, 100)
    size = len(framed(batch(150)))
    for version in range(101, 152):
        await put(log, batch(version))
        assert await reader.versions(1) == [[version]]
    on_the_way = -(-200 // size)  # up to message 150, which the reader had last when 151 came
    assert await Reader(log, 150 - on_the_way).versions(1) == [[151 - on_the_way]]
    with pytest.raises(HistoryLost, match="history_lost"):
        await Reader(log, 149 - on_the_way).next()


async def test_worker_that_lost_the_history_while_it_was_loading_gets_a_new_cursor():
    log = begun(max_bytes=2000)
    with log.cursor() as loading:
        for version in range(101, 152):
            await put(log, batch(version))
        with pytest.raises(HistoryLost, match="history_lost"):
            await anext(log.read(101, loading))
        await put(log, batch(152), batch(153))
        assert decode((await anext(log.read(151, loading)))[4:]).events == batch(152).events


async def test_event_log_drops_old_messages():
    log = begun(max_age=10.0)
    await put(log, batch(101, read_at=1.0), idle(102, 10.0), idle(103, 12.0))
    with pytest.raises(HistoryLost):
        await Reader(log, 100).next()
    assert (await Reader(log, 101).next()).version == 102


async def test_readers_end_with_the_reason_of_a_new_history():
    """Whether they have read everything or not; events that are not sent yet are dropped."""
    log = begun()
    await put(log, batch(101), batch(102))
    ahead, behind = Reader(log, 100), Reader(log, 100)
    assert await ahead.versions(2) == [[101], [102]]
    assert await behind.versions(1) == [[101]]
    waiting = asyncio.ensure_future(ahead.next())
    await asyncio.sleep(0)
    log.put(batch(150))
    log.begin(200, "drop")
    await put(log, batch(201))
    for reading in (waiting, behind.next()):
        with pytest.raises(HistoryLost, match="drop"):
            await reading
    assert await Reader(log, 200).versions(1) == [[201]]


async def test_reader_ends_with_the_reason_of_its_own_history():
    """A new history may follow before the reader runs again."""
    log = begun()
    await put(log, batch(101))
    reader = Reader(log, 100)
    assert await reader.versions(1) == [[101]]
    log.begin(200, "drop")
    log.begin(300, "replaced")
    with pytest.raises(HistoryLost, match="drop"):
        await reader.next()
    with pytest.raises(HistoryLost, match="replaced"):
        await Reader(log, 250).next()


async def test_reader_ends_with_an_empty_history():
    log = begun()
    waiting = asyncio.ensure_future(Reader(log, 100).next())
    await asyncio.sleep(0)
    log.begin(200, "drop")
    with pytest.raises(HistoryLost, match="drop"):
        await waiting


async def test_event_log_raises_the_error_of_a_message_that_cannot_be_encoded():
    """The follower begins a new history then: the events of the message would be missing."""
    log = begun()
    await put(log, EventBatch(1.0, version=101, events=[PlayerEvent("update", "\ud800", 101)]))
    for _ in range(2):
        with pytest.raises(UnicodeEncodeError):
            log.put(idle(102))
    log.begin(200, "failed")
    await put(log, batch(201))
    assert await Reader(log, 200).versions(1) == [[201]]
