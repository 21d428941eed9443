"""The parts of a frontend. Each frontend is one module in this folder.

A frontend translates requests to submissions, receipts to its responses, and the top 10 to its messages. It makes no
decisions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tornado_app.core.model import Caller, Placement, Receipt, Submission
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.messages import Request
from tornado_app.live.hub import Channel


class ScoreEndpoint(msgspec.Struct, frozen=True):
    """A request that adds points: `read` parses it, `render` makes the answer.

    `body`, `answer` and `created` (the answer with 201, for a new player) are examples, whose types are those of the
    OpenAPI document. `idempotency_key`: whether that header is read.
    """

    method: str
    path: str
    summary: str
    body: msgspec.Struct
    answer: msgspec.Struct
    read: Callable[[Request, Caller], Submission]
    render: Callable[[Receipt, Scoreboard], Any]
    optional_body: bool = False
    creates: bool = False
    created: msgspec.Struct | None = None
    idempotency_key: bool = True


class BoardEndpoint(msgspec.Struct, frozen=True):
    """A public read of the board, rendered once for each change.

    `answer` is an example. `personal` adds the caller's own place to the rendered value.
    """

    path: str
    summary: str
    answer: msgspec.Struct
    render: Callable[[Scoreboard], Any]
    personal: Callable[[Any, Placement], Any] | None = None


class Frontend(msgspec.Struct, frozen=True):
    """A frontend of the API contract, by its letter; `messages` are examples of what its sockets send.

    `shows_period`: it shows the scores of the period that a board names by `shows`; else always those of all time.
    """

    name: str
    writes: tuple[ScoreEndpoint, ...] = ()
    reads: tuple[BoardEndpoint, ...] = ()
    sockets: tuple[tuple[str, Channel], ...] = ()
    messages: tuple[msgspec.Struct, ...] = ()
    shows_period: bool = True
