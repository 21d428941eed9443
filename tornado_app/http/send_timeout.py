"""Cuts off clients that do not take what was sent to them: one timer for all connections.

What a client does not read stays in the kernel, up to megabytes for each connection, also after the connection was
closed. Progress is what the client's side has acknowledged, so that a slow reader keeps its connection for as long as
it reads. Linux's TCP_USER_TIMEOUT is no substitute: it also ends readers whose window is small.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import socket
import struct
import termios
from collections.abc import Iterator

from tornado.iostream import IOStream

from tornado_app.http.idle_timeout import IdleTimeouts

log = logging.getLogger("leaderboard.http")

SEND_BUFFER = 128 * 1024
"""Bytes of one connection that the kernel may hold, which doubles it for its own needs."""

MAX_TAKEN_OVER = 1000
"""Closed connections that are kept for their last answer; of further ones the kernel looks after, less exactly."""

SLICE = 500
"""Connections that are looked at before others get their turn: about a millisecond's work."""

_RESET = struct.pack("ii", 1, 0)
_TCP_INFO = getattr(socket, "TCP_INFO", None)
_BYTES_ACKED = struct.Struct("=120xQ")
"""tcp_info.tcpi_bytes_acked. Source: Linux, include/uapi/linux/tcp.h"""


def unsent(of: socket.socket) -> int:
    """Bytes that the kernel holds and the other side has not acknowledged."""
    try:
        return int(struct.unpack("=i", fcntl.ioctl(of.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
    except OSError:
        return 0  # the connection has ended


def taken(of: socket.socket) -> int:
    """Grows whenever the other side takes something."""
    try:
        if _TCP_INFO is not None:
            found = of.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES_ACKED.size)
            return int(_BYTES_ACKED.unpack(found)[0])
    except (OSError, struct.error):
        return 0
    return -unsent(of)


def peer(of: socket.socket) -> str | None:
    """The address at the other end of the connection, None where it has ended."""
    try:
        return str(of.getpeername()[0])
    except OSError:
        return None


def reset(closing: socket.socket) -> None:
    """Have the coming `close` give up what the other side has not taken."""
    closing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class _Sent:
    """What is known of one connection: how much it had taken, and since when that has not changed."""

    __slots__ = ("since", "socket", "stream", "taken")

    def __init__(self, of: socket.socket, stream: IOStream | None, now: float) -> None:
        self.socket = of
        self.stream = stream  # None: it is closed, and only the socket is left
        self.taken = taken(of)
        self.since = now

    @property
    def done(self) -> bool:
        """Whether nothing is left to take, or the client is gone."""
        if self.stream is not None and (self.stream.closed() or self.stream.writing()):
            return self.stream.closed()
        return unsent(self.socket) == 0

    def end(self) -> None:
        """Close what is left of it, and give up what was not taken."""
        with contextlib.suppress(OSError):  # it may have ended by itself
            reset(self.socket)
        if self.stream is None:
            self.socket.close()
        else:
            self.stream.close(exc_info=ConnectionAbortedError())


class SendTimeouts:
    """The connections on which something waits to be taken. `timeout`: seconds without progress until the end.

    `waiting`: the connections whose next request is waited for; the kernel may still hold their last answer.
    """

    def __init__(self, timeout: float, waiting: IdleTimeouts) -> None:
        self._timeout = timeout
        self._idle_timeouts = waiting
        self._watched: dict[IOStream | socket.socket, _Sent] = {}
        self._adopted = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._watched)

    def start(self) -> None:
        """From the first connection on."""
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(self._timeout / 2, self._sweep)

    def watch(self, stream: IOStream) -> None:
        """Not all of an answer went out at once."""
        if stream not in self._watched:
            self._watched[stream] = _Sent(stream.socket, stream, asyncio.get_running_loop().time())

    def take_over(self, closing: socket.socket) -> None:
        """Keep the connection beyond the `close` of this socket, which is about to come, until all was taken."""
        if not unsent(closing):
            return
        if self._closed or self._adopted >= MAX_TAKEN_OVER:
            self._leave_to_kernel(closing)
            return
        try:
            closing.shutdown(socket.SHUT_WR)
            kept = socket.socket(fileno=socket.dup(closing.fileno()))
        except OSError:
            return  # the client is gone already
        self._adopted += 1
        self._watched[kept] = _Sent(kept, None, asyncio.get_running_loop().time())

    def _leave_to_kernel(self, closing: socket.socket) -> None:
        with contextlib.suppress(OSError, AttributeError):  # gone, or not Linux
            closing.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self._timeout * 1000))

    def close(self) -> None:
        """Let go of all; the kernel gives up what is not taken in time."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for sent in self._watched.values():
            if sent.stream is None:
                self._leave_to_kernel(sent.socket)
                sent.socket.close()
        self._watched.clear()

    def _sweep(self, rest: Iterator[IOStream] | None = None) -> None:
        """Look at all connections, in slices."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if rest is None:
            self._check(now)
            rest = iter(self._idle_timeouts.since(now - self._timeout / 2))
        looked = 0
        for looked, stream in enumerate(rest, 1):
            if stream not in self._watched and not stream.closed() and unsent(stream.socket):
                self.watch(stream)
            if looked == SLICE:
                self._timer = loop.call_later(0, self._sweep, rest)
                return
        self._timer = loop.call_later(self._timeout / 2, self._sweep)

    def _check(self, now: float) -> None:
        for key, sent in list(self._watched.items()):
            if sent.done:
                self._forget(key, sent)
                if sent.stream is None:
                    sent.socket.close()
            elif (found := taken(sent.socket)) != sent.taken:
                sent.taken, sent.since = found, now
            elif now - sent.since >= self._timeout:
                self._forget(key, sent)
                about = {"event": "cut_off", "reason": "send_timeout", "remote": peer(sent.socket)}
                sent.end()
                log.info("a client did not read its answers", extra=about)

    def _forget(self, key: IOStream | socket.socket, sent: _Sent) -> None:
        del self._watched[key]
        self._adopted -= sent.stream is None
