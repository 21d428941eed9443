"""What one change stream reads, for a second reader: a stream of its own would cost mongod as much again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bson import Timestamp

from tornado_app.mongo.change_stream.events import PlayerEvent

Token = Mapping[str, Any]

MAX_EVENTS = 2000
"""Maximum of events that wait to be taken. A slower reader is cut off, and opens a stream of its own."""

_TIME = re.compile(r"82([0-9A-F]{8})([0-9A-F]{8})")


def moment(token: Token | None) -> Timestamp | None:
    """The cluster time of a resume token's place: nothing before it is left. None where the token does not tell.

    A resume token is a KeyString in hexadecimal, which begins with the time: type 0x82, seconds, increment.
    Source: MongoDB, src/mongo/db/pipeline/resume_token.h
    """
    match = _TIME.match(str((token or {}).get("_data")))
    return None if match is None else Timestamp(int(match[1], 16), int(match[2], 16))


def comes_after(token: Token | None, place: Token | None) -> bool:
    """Whether an event's resume token stands behind a place; true where either does not tell.

    The hexadecimal of KeyStrings has the order of what they encode. A place without an event stands before the events
    of its time. Source: as above.
    """
    here, there = (token or {}).get("_data"), (place or {}).get("_data")
    return not (isinstance(here, str) and isinstance(there, str)) or here > there


class Subscription:
    """All that a stream reads after `start`, a resume token, until it is `closed`."""

    __slots__ = ("_events", "_max_events", "_token", "closed", "start")

    def __init__(self, start: Token, max_events: int = MAX_EVENTS) -> None:
        self._max_events = max_events
        self.start = start
        self.closed = False
        self._events: list[PlayerEvent] = []
        self._token: Token | None = None

    def put(self, event: PlayerEvent | None, token: Token | None) -> None:
        """What was read, None where there was nothing more; and the place after it."""
        if self.closed:
            return
        if len(self._events) >= self._max_events:
            self.closed = True
            return
        if event is not None:
            self._events.append(event)
        self._token = token or self._token

    def take(self) -> tuple[list[PlayerEvent], Token | None]:
        """The events that came since the last time, and the place after them; None where nothing was read yet."""
        events, self._events = self._events, []
        return events, self._token
