"""Frontend E: `/api/v1/score`. It has no WebSocket of its own; clients use `/ws/scoreboard`."""

from __future__ import annotations

from typing import Literal

import msgspec

from tornado_app.api.frontends.base import Frontend, ScoreEndpoint
from tornado_app.api.schema import Decoder, OptionalProof, PlayerId, Points, Score, UserId, idempotency_key
from tornado_app.core.model import Caller, Receipt, Submission
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.messages import Request


class Body(msgspec.Struct, omit_defaults=True):
    """A player and the points to add."""

    user_id: UserId
    score_increase: Points
    proof: OptionalProof = None


class Answer(msgspec.Struct):
    """The player's score after the update."""

    message: Literal["Score updated successfully."]
    user_id: PlayerId
    new_score: Score


_decode = Decoder(Body, points="score_increase")


def read(request: Request, caller: Caller) -> Submission:
    """Parse an update, which refuses an unknown player."""
    body = _decode(request)
    return Submission(
        caller,
        user_id=body.user_id,
        points=body.score_increase,
        action_id=idempotency_key(request),
        proof=body.proof,
    )


def render(receipt: Receipt, scoreboard: Scoreboard) -> Answer:
    return Answer("Score updated successfully.", receipt.user_id, receipt.score)


FRONTEND = Frontend(
    "E",
    writes=(
        ScoreEndpoint(
            "POST",
            "/api/v1/score",
            "Add points to a player's score; an unknown player is an error.",
            Body("alice", 95),
            Answer("Score updated successfully.", "alice", 166),
            read,
            render,
        ),
    ),
)
