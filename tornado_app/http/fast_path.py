"""Plain requests, served from their bytes: what Tornado's HTTP server does for one is half of what the service does.

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

from tornado_app.http.dispatcher import Exchange, Gateway
from tornado_app.http.fast_connection import Visit
from tornado_app.http.fast_parser import Plain, plain
from tornado_app.http.messages import Fields, Response

log = logging.getLogger("leaderboard.http")


class Shedder(Protocol):
    """Counts updates under way, and refuses those that there is no capacity for."""

    @property
    def full(self) -> bool:
        """Whether one more is to be refused."""

    def update(self, data: bytes) -> Any:
        """The kind of update that a request is; None for another request."""

    def enter(self) -> None:
        """An update is under way."""

    def leave(self) -> None:
        """An update was answered."""

    def refuse(self, update: Any, headers: Fields, began: float) -> bytes:
        """The bytes of the refusal."""


class Express:
    """Serves plain requests. Score updates are counted, and refused while there is no room for more."""

    def __init__(self, gateway: Gateway, shedding: Shedder) -> None:
        self._gateway = gateway
        self._shedding = shedding

    def ask(self, data: bytes, visit: Visit) -> bool:
        """Whether the request is answered here, now or later; else it is Tornado's to read."""
        began = time.perf_counter()
        request = None if self._gateway.draining else plain(data)
        if request is None:
            return False
        write = self._shedding.update(data)
        if write is not None and self._shedding.full:
            visit.answer(self._shedding.refuse(write, request.headers, began))
        else:
            # In a context of its own: what the log is told of this request is not told of the connection.
            copy_context().run(self._serve, request, visit, began, write is not None)
        return True

    def _serve(self, asked: Plain, visit: Visit, began: float, counts: bool) -> None:
        gateway, shedding = self._gateway, self._shedding
        request = gateway.request(asked.method, asked.target, asked.headers, visit.peer)
        request.body = asked.body

        def say(response: Response) -> None:
            if counts:
                shedding.leave()
            headers = gateway.headers(request, response)
            if gateway.draining:
                headers.append(("Connection", "close"))
            try:
                head = message(response.status, headers)
            except ValueError:
                log.exception("an answer could not be written")
                visit.give_up()
                return
            visit.answer(head + (b"" if response.status in (204, 304) else response.body))

        exchange = Exchange(gateway, request, began, say)
        if counts:
            shedding.enter()
        exchange.run()


def message(status: int, headers: list[tuple[str, str]]) -> bytes:
    """An answer's status line and headers. Raises ValueError for a line break in one of them."""
    lines = [f"HTTP/1.1 {status} {PHRASES.get(status, 'Unknown')}", *[f"{name}: {value}" for name, value in headers]]
    text = "\r\n".join([*lines, "", ""])
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1:
        raise ValueError("there is a line break in a header")
    return text.encode("latin-1")
