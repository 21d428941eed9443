"""Messages between the supervisor and its workers, over a private pair of sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import Literal, TypeAlias

import msgspec

from tornado_app.observability.aggregation import Family

Topic: TypeAlias = Literal["metrics", "readiness"]


class StartWorker(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker: the pickled `config`, and the `uri` of the supervisor's embedded database, if any.

    The settings themselves are sent, so that a worker that is restarted has the same settings as the others.
    """

    config: bytes
    uri: str | None


class Request(msgspec.Struct, frozen=True, tag=True):
    """To a worker: send the report of `topic`."""

    topic: Topic


class Drain(msgspec.Struct, frozen=True, tag=True):
    """To a worker: finish the work in progress, and exit."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a worker: it is ready."""


class Fault(msgspec.Struct, frozen=True, tag=True):
    """From a worker: why it exits. `settings`: the error is one of the settings."""

    lines: list[str]
    settings: bool = False


class MetricsReport(msgspec.Struct, frozen=True, tag=True):
    """From a worker: its metrics."""

    families: list[Family]


class ReadinessReport(msgspec.Struct, frozen=True, tag=True):
    """From a worker: the reasons why it is not ready; empty if it is."""

    reasons: list[str]


Message: TypeAlias = StartWorker | Request | Drain | Ready | Fault | MetricsReport | ReadinessReport

_LENGTH = 4
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def framed(message: msgspec.Struct) -> bytes:
    """A message with its length in front, as it is sent."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next message without its length; None if the other end is closed."""
    try:
        size = int.from_bytes(await reader.readexactly(_LENGTH), "big")
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def close(writer: asyncio.StreamWriter) -> None:
    """Flush and close."""
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        return  # the other end was closed first


class Channel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def from_socket(cls, end: socket.socket) -> Channel:
        """Wrap a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Message) -> None:
        """Send without waiting. The message is lost if the other end is closed."""
        if not self._writer.is_closing():
            self._writer.write(framed(message))

    async def receive(self) -> Message | None:
        """The next message; None if the other end is closed."""
        body = await read_frame(self._reader)
        return None if body is None else _decoder.decode(body)

    async def close(self) -> None:
        """Flush and close."""
        await close(self._writer)
