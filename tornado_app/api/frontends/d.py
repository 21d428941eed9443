"""Frontend D: `/api/actions`. Its socket is `/ws/scoreboard`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tornado_app.api.frontends.base import Frontend, ScoreEndpoint
from tornado_app.api.schema import ActionId, Decoder, OptionalProof, Score, UserId, idempotency_key
from tornado_app.core.model import Caller, Receipt, Submission
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.messages import Request


class Body(msgspec.Struct, omit_defaults=True):
    """An action: `<type>`, or `<type>:<unique part>`, an id that makes it count once."""

    user_id: UserId
    action_id: Annotated[
        ActionId,
        msgspec.Meta(
            description="An action type of the service's actions table. `:` and a unique part make it count once.",
        ),
    ]
    proof: OptionalProof = None


class Answer(msgspec.Struct):
    """The player's score after the update."""

    success: bool
    new_score: Score


_decode = Decoder(Body)


def read(request: Request, caller: Caller) -> Submission:
    """Parse an update. Without a unique part in the body's id, the header has the action's id."""
    body, key = _decode(request), idempotency_key(request)
    action_type, colon, unique = body.action_id.partition(":")
    action_id = body.action_id if colon and unique else key
    return Submission(
        caller,
        user_id=body.user_id,
        action_type=action_type,
        action_id=action_id,
        create_player=True,
        proof=body.proof,
    )


def render(receipt: Receipt, scoreboard: Scoreboard) -> Answer:
    return Answer(success=True, new_score=receipt.score)


FRONTEND = Frontend(
    "D",
    writes=(
        ScoreEndpoint(
            "POST",
            "/api/actions",
            "Report an action; create the player if unknown.",
            Body("alice", "daily_login:2026-01-02"),
            Answer(success=True, new_score=71),
            read,
            render,
            creates=True,
        ),
    ),
)
