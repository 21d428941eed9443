"""Load shedding: while too many score updates wait, the fast path refuses further ones before they are dispatched.

Dispatching an update and refusing it costs a third of an update, so at twice its capacity the service would do little
else (docs/reliability.md). The fast path therefore refuses updates with a cached response, without checking the token.
Updates that are not eligible for the fast path are dispatched, and the store refuses them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import NamedTuple

from tornado_app.api.board_routes import PREFIX
from tornado_app.api.frontends.base import Frontend
from tornado_app.api.rest.submission_log import SubmissionRecorder
from tornado_app.api.rest.submit import rate_limit_policy_header
from tornado_app.core.boards import MAIN
from tornado_app.core.errors import Overloaded
from tornado_app.core.policies import RateLimit
from tornado_app.http import errors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.messages import Headers, encode_head

log = logging.getLogger("leaderboard.http")

LOG_INTERVAL = 1.0
"""Minimum seconds between two log lines."""

MAX_CACHED_ORIGINS = 64
"""Maximum number of origins for which the response is cached."""


_ID = "<request id>"
"""Placeholder of the request's id in a cached response; no request id contains these characters."""


class Load:
    """The updates of one board in progress, and how many there may be at most."""

    __slots__ = ("capacity", "updates")

    def __init__(self, capacity: Callable[[], int]) -> None:
        self.updates = 0
        self.capacity = capacity


class Update(NamedTuple):
    """A kind of score update: the load of its board, the name of its frontend, and its method and path."""

    load: Load
    frontend: str
    method: str
    path: str


class LoadShedder:
    """Refuses score updates to a board at its capacity.

    It counts updates that have arrived completely, so an incomplete request does not take capacity from others.
    """

    def __init__(
        self, dispatcher: Dispatcher, recorder: SubmissionRecorder, frontends: Iterable[Frontend], limit: RateLimit
    ) -> None:
        self._dispatcher = dispatcher
        self._recorder = recorder
        self._policy = rate_limit_policy_header(limit)
        self._writes = [
            (frontend.name, write.method, write.path) for frontend in frontends for write in frontend.writes
        ]
        self._updates: dict[bytes, Update] = {}
        self._answers: dict[str | None, tuple[bytes, bytes]] = {}
        self._refused = 0
        self._logged_at = -LOG_INTERVAL

    def add(self, board: str, capacity: Callable[[], int]) -> None:
        """Count the updates of a board, and refuse those above `capacity()`."""
        load = Load(capacity)
        for frontend, method, path in self._writes:
            for line in self._lines(board, method, path):
                self._updates[line] = Update(load, frontend, method, path)

    def remove(self, board: str) -> None:
        for _, method, path in self._writes:
            for line in self._lines(board, method, path):
                del self._updates[line]

    def _lines(self, board: str, method: str, path: str) -> list[bytes]:
        """The request lines of an update of the board."""
        prefixes = [f"{PREFIX}{board}", *([""] if board == MAIN.name else [])]
        return [f"{method} {prefix}{path} HTTP/1.1".encode() for prefix in prefixes]

    def full(self, update: Update) -> bool:
        return update.load.updates >= update.load.capacity()

    def update(self, data: bytes) -> Update | None:
        """The kind of update in a request's first line; None for another request."""
        return self._updates.get(data[: data.find(b"\r\n")])

    def acquire(self, update: Update) -> None:
        update.load.updates += 1

    def release(self, update: Update) -> None:
        update.load.updates -= 1

    def refuse(self, update: Update, headers: Headers, began: float) -> bytes:
        """Count and log a refused update; its response. `began`: a time of `time.perf_counter`."""
        request_id = self._dispatcher.request_id(headers.get("X-Request-Id"))
        before, after = self._answer(headers.get("Origin"))
        self._recorder.unread(update.frontend, Overloaded.code)
        seconds = time.perf_counter() - began
        self._dispatcher.count(update.method, update.path, HTTPStatus.SERVICE_UNAVAILABLE, seconds, request_id)
        self._log(began)
        return b"%b%b%b" % (before, request_id.encode(), after)

    def _answer(self, origin: str | None) -> tuple[bytes, bytes]:
        """The response to a page of this origin: its bytes before and after the request's id."""
        found = self._answers.get(origin)
        if found is None:
            response = errors.response(Overloaded(retry_after=1.0)).plus(self._policy)
            head = encode_head(response.status, self._dispatcher.headers(response, _ID, origin))
            before, _, after = head.partition(_ID.encode())
            found = before, after + response.body
            if len(self._answers) < MAX_CACHED_ORIGINS:
                self._answers[origin] = found
        return found

    def _log(self, now: float) -> None:
        self._refused += 1
        if now - self._logged_at >= LOG_INTERVAL:
            log.warning(
                "too many score updates in progress, refusing further ones",
                extra={"event": "shedding", "refused": self._refused},
            )
            self._refused, self._logged_at = 0, now
