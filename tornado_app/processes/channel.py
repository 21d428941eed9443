"""What the supervisor and its processes tell each other, over a pair of sockets that nobody else can reach."""

from __future__ import annotations

import asyncio
import socket
from typing import Literal, TypeAlias

import msgspec

from tornado_app.observability.aggregation import Family

Topic: TypeAlias = Literal["metrics", "readiness"]


class Orders(msgspec.Struct, frozen=True, tag=True):
    """The first message to a process: its `config`, pickled, and the `uri` of the supervisor's own database, if any.

    The settings themselves are handed over, so that one that is started later has the same as the others.
    """

    config: bytes
    uri: str | None


class Ask(msgspec.Struct, frozen=True, tag=True):
    """To a process: tell about `topic`."""

    topic: Topic


class Drain(msgspec.Struct, frozen=True, tag=True):
    """To a process: finish what is under way, and end."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a process: it serves."""


class Fault(msgspec.Struct, frozen=True, tag=True):
    """From a process: why it cannot go on. `settings`: it is they that are at fault."""

    lines: list[str]
    settings: bool = False


class Measured(msgspec.Struct, frozen=True, tag=True):
    """From a process: its metrics."""

    families: list[Family]


class Readiness(msgspec.Struct, frozen=True, tag=True):
    """From a process: why no traffic should come to it, if there is a reason."""

    reasons: list[str]


Message: TypeAlias = Orders | Ask | Drain | Ready | Fault | Measured | Readiness

_LENGTH = 4
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


class Channel:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """Take over a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Message) -> None:
        """Send, without waiting; to one who has gone it is lost."""
        if not self._writer.is_closing():
            body = _encoder.encode(message)
            self._writer.write(len(body).to_bytes(_LENGTH, "big") + body)

    async def receive(self) -> Message | None:
        """The next message; None when the other has gone."""
        try:
            size = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
            message: Message = _decoder.decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    async def close(self) -> None:
        """Hand over what was sent, and close."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return  # the other has gone before
