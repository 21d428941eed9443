"""Load shedding: while too many score updates wait, further ones are refused before they are read as HTTP.

Refusing in the ordinary way costs the service a third of what an update costs it, so at twice its capacity it would do
little else (docs/reliability.md). A score update that has arrived whole, which nearly all do, is answered from its
bytes instead, by a few searches in them. What is odd in any way is left to the ordinary way, which refuses it as well:
neither looks at the token, as nothing can be done for anybody.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import NamedTuple

from tornado_app.api.frontends.base import Frontend
from tornado_app.api.rest.submission_log import SubmissionRecorder
from tornado_app.api.rest.submit import rate_limit_policy_header
from tornado_app.core.errors import Overloaded
from tornado_app.core.policies import RateLimit
from tornado_app.http import errors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.messages import Headers, encode_head

log = logging.getLogger("leaderboard.http")

LOG_INTERVAL = 1.0
"""Seconds between two lines in the log."""

MAX_CACHED_ORIGINS = 64
"""Pages of so many sites have their answer at hand."""


_ID = "<request id>"
"""Stands for the request's id in a cached response: no request id can have these characters."""


class Update(NamedTuple):
    """A kind of score update: its frontend's name, and its place in the API."""

    frontend: str
    method: str
    path: str


class LoadShedder:
    """Lets in as many score updates as there is `capacity` for, and refuses the others; all else it lets pass.

    It counts those that are under way and have arrived whole: who sends half of one takes nobody's place.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        recorder: SubmissionRecorder,
        frontends: Iterable[Frontend],
        limit: RateLimit,
        capacity: Callable[[], int],
    ) -> None:
        self._dispatcher = dispatcher
        self._recorder = recorder
        self._policy = rate_limit_policy_header(limit)
        self._capacity = capacity
        self._inside = 0
        self._updates = {
            f"{write.method} {write.path} HTTP/1.1".encode(): Update(frontend.name, write.method, write.path)
            for frontend in frontends
            for write in frontend.writes
        }
        self._answers: dict[str | None, tuple[bytes, bytes]] = {}
        self._refused = 0
        self._logged_at = -LOG_INTERVAL

    @property
    def full(self) -> bool:
        """Whether one more is to be refused."""
        return self._inside >= self._capacity()

    def update(self, data: bytes) -> Update | None:
        """The score update that a request asks for, told by its first line."""
        return self._updates.get(data[: data.find(b"\r\n")])

    def acquire(self) -> None:
        """An update is under way."""
        self._inside += 1

    def release(self) -> None:
        """An update was answered."""
        self._inside -= 1

    def refuse(self, update: Update, headers: Headers, began: float) -> bytes:
        """The answer to an update that there is no room for. `began`: by `time.perf_counter`."""
        request_id = self._dispatcher.request_id(headers.get("X-Request-Id"))
        before, after = self._answer(headers.get("Origin"))
        self._recorder.unread(update.frontend, Overloaded.code)
        seconds = time.perf_counter() - began
        self._dispatcher.count(update.method, update.path, HTTPStatus.SERVICE_UNAVAILABLE, seconds, request_id)
        self._log(began)
        return b"%b%b%b" % (before, request_id.encode(), after)

    def _answer(self, origin: str | None) -> tuple[bytes, bytes]:
        """The whole answer to a page of this origin, but for the request's id between the two parts."""
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
            log.warning("too many score updates wait", extra={"event": "shedding", "refused": self._refused})
            self._refused, self._logged_at = 0, now
