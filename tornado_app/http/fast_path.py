"""Serves simple requests from their bytes. Parsing one with Tornado costs half of the CPU time of an update.

Tornado stays in charge of the connection, and is given every request that is not plain (fast_parser.py,
fast_connection.py). What a request goes through and what answers it are the same on both ways (dispatcher.py); a test
asks the same on both.
"""

from __future__ import annotations

import logging
import time
from contextvars import copy_context
from http.client import responses as PHRASES  # noqa: N812  # a constant table under a lower-case name
from typing import Any, Protocol

from tornado_app.http.dispatcher import Dispatcher, RequestCycle
from tornado_app.http.fast_connection import FastPathConnection
from tornado_app.http.fast_parser import ParsedRequest, parse_simple_request
from tornado_app.http.messages import Headers, Response

log = logging.getLogger("leaderboard.http")


class Shedder(Protocol):
    """Counts updates under way, and refuses those that there is no capacity for."""

    @property
    def full(self) -> bool:
        """Whether one more is to be refused."""

    def update(self, data: bytes) -> Any:
        """The kind of update that a request is; None for another request."""

    def acquire(self) -> None:
        """An update is under way."""

    def release(self) -> None:
        """An update was answered."""

    def refuse(self, update: Any, headers: Headers, began: float) -> bytes:
        """The bytes of the refusal."""


class FastPath:
    """Serves plain requests. Score updates are counted, and refused while there is no room for more."""

    def __init__(self, dispatcher: Dispatcher, shedder: Shedder) -> None:
        self._dispatcher = dispatcher
        self._shedder = shedder

    def try_handle(self, data: bytes, connection: FastPathConnection) -> bool:
        """Whether the request is answered here, now or later; else it is Tornado's to read."""
        began = time.perf_counter()
        request = None if self._dispatcher.draining else parse_simple_request(data)
        if request is None:
            return False
        write = self._shedder.update(data)
        if write is not None and self._shedder.full:
            connection.answer(self._shedder.refuse(write, request.headers, began))
        else:
            # In a context of its own: what the log is told of this request is not told of the connection.
            copy_context().run(self._serve, request, connection, began, write is not None)
        return True

    def _serve(self, asked: ParsedRequest, connection: FastPathConnection, began: float, counts: bool) -> None:
        dispatcher, shedder = self._dispatcher, self._shedder
        request = dispatcher.request(asked.method, asked.target, asked.headers, connection.peer)
        request.body = asked.body

        def send(response: Response) -> None:
            if counts:
                shedder.release()
            headers = dispatcher.headers(request, response)
            if dispatcher.draining:
                headers.append(("Connection", "close"))
            try:
                head = message(response.status, headers)
            except ValueError:
                log.exception("an answer could not be written")
                connection.abort()
                return
            connection.answer(head + (b"" if response.status in (204, 304) else response.body))

        cycle = RequestCycle(dispatcher, request, began, send)
        if counts:
            shedder.acquire()
        cycle.run()


def message(status: int, headers: list[tuple[str, str]]) -> bytes:
    """An answer's status line and headers. Raises ValueError for a line break in one of them."""
    lines = [f"HTTP/1.1 {status} {PHRASES.get(status, 'Unknown')}", *[f"{name}: {value}" for name, value in headers]]
    text = "\r\n".join([*lines, "", ""])
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1:
        raise ValueError("there is a line break in a header")
    return text.encode("latin-1")
