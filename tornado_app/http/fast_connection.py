"""A connection between two requests of Tornado's: what comes in on it is shown to a doorman first.

Of Tornado's internals this relies on two: what a stream has read and not handed on is counted in `_read_buffer_size`,
without which nothing is kept from Tornado, and `_handle_events` is what it does when its socket can be read. Tests hold
both against the pinned version.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from tornado_app.http.direct_write import Wire
from tornado_app.http.idle_timeout import Idle


class Doorman(Protocol):
    """Who serves some requests, before Tornado reads them."""

    def ask(self, data: bytes, visit: Visit, /) -> bool:
        """What a client sends after its last answer. True: `visit.answer` is called with the answer, now or later.

        Else Tornado is to read it.
        """


class Visit:
    """One connection as the doorman sees it: what comes in on it, and the way for an answer. `peer`: its address.

    Tornado waits for a request all the time. Of those that the doorman takes it knows nothing.
    """

    __slots__ = ("_between", "_doorman", "_held", "_owed", "_read", "_stream", "_waiting", "peer")

    def __init__(self, stream: IOStream, peer: str, doorman: Doorman, waiting: Idle) -> None:
        self.peer = peer
        self._stream = stream
        self._doorman = doorman
        self._waiting = waiting
        self._between = False
        self._owed = False
        self._held = b""
        self._read = stream.read_from_fd

    def between_requests(self) -> None:
        """All that Tornado was asked is answered, and what comes next is a request, unless part of one is here."""
        self._between = getattr(self._stream, "_read_buffer_size", 1) == 0
        self._stream.set_nodelay(True)  # after a request of its own Tornado lets the kernel delay what we send

    def read(self, buf: bytearray | memoryview) -> int | None:
        """What the client sends, but for what the doorman takes."""
        size: int | None
        if self._held and not self._owed:
            size = len(self._held)
            buf[:size], self._held = self._held, b""
        else:
            size = self._read(buf)
        if not size or not (self._between or self._owed):
            return size
        data = bytes(memoryview(buf)[:size])
        if self._owed:
            self._hold(data)
            return None
        if not self._stream.writing():
            self._owed = True
            if self._doorman.ask(data, self):
                if self._owed:
                    self._waiting.forget(self._stream)
                return None
            self._owed = False
        self._between = False
        return size

    def answer(self, data: bytes) -> None:
        """Send an answer; the next request may come."""
        self._owed = False
        if self._stream.closed():
            return
        sending = Wire(self._stream).send(data)
        if sending is None:
            self._wait()
        else:
            self._waiting.forget(self._stream)
            sending.add_done_callback(self._wait)
        if self._held:
            asyncio.get_running_loop().call_soon(self._resume)

    def give_up(self) -> None:
        """There is no answer."""
        self._stream.close()

    def _wait(self, sent: asyncio.Future[None] | None = None) -> None:
        if not self._stream.closed() and not self._owed:
            self._waiting.wait(self._stream)

    def _hold(self, data: bytes) -> None:
        """Keep what comes before its turn, and read no further until then. No more than one read comes to be kept."""
        self._held += data
        self._stream.io_loop.update_handler(self._stream.fileno(), IOLoop.ERROR)

    def _resume(self) -> None:
        stream = self._stream
        if not stream.closed():
            events = IOLoop.READ | IOLoop.ERROR | (IOLoop.WRITE if stream.writing() else 0)
            stream.io_loop.update_handler(stream.fileno(), events)
            stream._handle_events(stream.fileno(), IOLoop.READ)
