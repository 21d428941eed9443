"""Passes the events of the supervisor's change stream to a worker, over a pair of sockets of their own.

They have no part of the control channel, so a worker that is behind with its events still answers, and is drained.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

import msgspec

from tornado_app.mongo.change_stream.events import HistoryLost
from tornado_app.mongo.change_stream.resume_point import ResumePoint
from tornado_app.mongo.change_stream.source import BATCH, EventBatch
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.processes.channel import close, framed, read_frame
from tornado_app.processes.event_log import HISTORY_LOST, Cursor, EventLog
from tornado_app.runtime.tasks import cancel_and_wait


class Follow(msgspec.Struct, frozen=True, array_like=True):
    """From a worker: send the events after this cluster time. `number`: counts the requests of the worker."""

    number: int
    after: int


class Following(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """To a worker: the messages from here on answer this request."""

    number: int


class Lost(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """To a worker: the history is lost for this reason, and the request has ended."""

    reason: str


_decode_request = msgspec.msgpack.Decoder(Follow).decode
_decode: Callable[[bytes], EventBatch | Following | Lost] = msgspec.msgpack.Decoder(
    EventBatch | Following | Lost
).decode


async def serve_events(end: socket.socket, events: EventLog) -> None:
    """Answer the requests of one worker until it ends. A worker that does not read delays no other."""
    with events.cursor() as cursor:
        reader, writer = await asyncio.open_unix_connection(sock=end)
        try:
            body = await read_frame(reader)
            while body is not None:
                sending = asyncio.ensure_future(_send(writer, events, cursor, _decode_request(body)))
                receiving = asyncio.ensure_future(read_frame(reader))
                try:
                    await asyncio.wait([sending, receiving], return_when=asyncio.FIRST_COMPLETED)
                    if sending.done():
                        sending.result()
                    body = await receiving
                finally:
                    await cancel_and_wait(sending, receiving)
        finally:
            writer.transport.abort()  # a worker that does not read would delay the end
            await close(writer)


async def _send(writer: asyncio.StreamWriter, events: EventLog, cursor: Cursor, request: Follow) -> None:
    try:
        writer.write(framed(Following(request.number)))
        async with aclosing(events.read(request.after, cursor)) as frames:
            async for frame in frames:
                writer.write(frame)
                await writer.drain()
    except HistoryLost as lost:
        writer.write(framed(Lost(str(lost))))
    except ConnectionError:
        return  # the worker has ended


class RelayedEvents:
    """In a worker: the events that the supervisor sends, as a source of a feed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._requests = 0

    @classmethod
    async def from_socket(cls, end: socket.socket) -> RelayedEvents:
        """Wrap a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    async def read(self, start: ResumePoint) -> AsyncGenerator[EventBatch]:
        """As in EventSource. A feed does not resume at a token: only a lost history ends this source."""
        if isinstance(start, Mapping):
            raise HistoryLost(HISTORY_LOST)
        after = cluster_time_to_int(start) - 1
        self._requests += 1
        self._writer.write(framed(Follow(self._requests, after)))
        while await self._receive() != Following(self._requests):
            pass  # the answer to an earlier request
        handled = 0
        while True:
            message = await self._receive()
            if isinstance(message, Lost):
                raise HistoryLost(message.reason)
            if not isinstance(message, EventBatch):
                continue
            if message.events and message.events[0].version <= after:  # in the first messages only
                later = [event for event in message.events if event.version > after]
                message = msgspec.structs.replace(message, events=later)
            yield message
            handled += len(message.events)
            if handled >= BATCH:  # messages that have arrived would let no other task run
                handled = 0
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Close the socket."""
        await close(self._writer)

    async def _receive(self) -> EventBatch | Following | Lost:
        body = await read_frame(self._reader)
        while body is None:  # the supervisor has ended, and this process ends too
            await asyncio.get_running_loop().create_future()
        return _decode(body)
