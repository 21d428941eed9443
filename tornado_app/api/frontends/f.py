"""Frontend F: `/api/v1/scores`, for boards of every rule. It has no WebSocket of its own."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tornado_app.api.frontends.base import Frontend, ScoreEndpoint
from tornado_app.api.schema import (
    ALICE,
    MAX_METADATA,
    TIME,
    ActionType,
    Decoder,
    Metadata,
    NextRank,
    OptionalProof,
    OptionalUserId,
    PlayerId,
    Points,
    Rank,
    Score,
    Time,
    Total,
    idempotency_key,
    next_rank,
)
from tornado_app.core.boards import MAX_SUBMITTED
from tornado_app.core.errors import InvalidBody
from tornado_app.core.identity import is_action_type
from tornado_app.core.model import Caller, Player, Receipt, Standing, Submission, rfc3339
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.messages import Request

SubmittedScore = Annotated[
    int,
    Meta(
        ge=-MAX_SUBMITTED,
        le=MAX_SUBMITTED,
        description="The reached score, for a board of the rule best or last. Its bounds may be narrower.",
    ),
]


class Body(msgspec.Struct, omit_defaults=True):
    """A score (rule best or last), or points to add (rule sum). With `action_type` alone, the service's actions table
    has the points; beside a score, it is only recorded."""

    score: SubmittedScore | UnsetType = UNSET
    points: Points | UnsetType = UNSET
    user_id: OptionalUserId = None
    action_type: ActionType | None = None
    metadata: Metadata | UnsetType = UNSET
    proof: OptionalProof = None


class EpochAnswer(msgspec.Struct):
    """The player's score in an epoch of a period."""

    epoch: Annotated[int, Meta(ge=1, description="The epoch that the submission counted in; the first is 1.")]
    score: Score
    improved: Annotated[bool, Meta(description="Whether it is better than before, or the first in this epoch.")]


class Answer(msgspec.Struct):
    """The player's score after the submission, with its place on the board."""

    user_id: PlayerId
    score: Score
    submitted: Annotated[int, Meta(description="The submitted score, or the added points.")]
    improved: Annotated[bool, Meta(description="Whether the score is better than before, or the player's first.")]
    rank: Rank
    total: Total
    next: NextRank | None
    periods: Annotated[dict[str, EpochAnswer], Meta(description="The score in each period of the board, by name.")]
    updated_at: Annotated[Time, Meta(description="When the score was reached: RFC 3339 in UTC, with milliseconds.")]


_decode = Decoder(Body, points="points", score="score")


def read(request: Request, caller: Caller) -> Submission:
    """Parse a submission, which creates an unknown player."""
    body = _decode(request)
    score = None if body.score is UNSET else body.score
    points = None if body.points is UNSET else body.points
    if score is not None and points is not None:
        raise InvalidBody("Send score or points, not both.")
    if score is None and points is None and body.action_type is None:
        raise InvalidBody("score: missing. Send score to a board of the rule best or last, points to one of rule sum.")
    if score is not None and body.action_type is not None and not is_action_type(body.action_type):
        raise InvalidBody("action_type: contains a control character.")
    metadata = None if body.metadata is UNSET else msgspec.json.encode(body.metadata)
    if metadata is not None and len(metadata) > MAX_METADATA:
        raise InvalidBody(f"metadata: {len(metadata)} bytes as JSON, at most {MAX_METADATA} are stored.")
    return Submission(
        caller,
        user_id=body.user_id,
        points=points,
        score=score,
        action_type=body.action_type,
        action_id=idempotency_key(request),
        create_player=True,
        proof=body.proof,
        metadata=None if metadata is None else metadata.decode(),
    )


def render(receipt: Receipt, scoreboard: Scoreboard) -> Answer:
    """The place is the current one of the receipt's score, without the player's own later scores."""
    rank = scoreboard.board.rank_of(receipt.user_id, receipt.score, receipt.superseded_at)
    player = Player(receipt.user_id, receipt.score, receipt.updated_at, "")
    place = scoreboard.placement(Standing(rank, player))
    submitted = receipt.points if receipt.submitted is None else receipt.submitted
    return Answer(
        receipt.user_id,
        receipt.score,
        submitted,
        receipt.improved,
        rank,
        place.total,
        next_rank(place),
        {each.period: EpochAnswer(each.epoch, each.score, each.improved) for each in receipt.epochs},
        rfc3339(receipt.updated_at),
    )


FRONTEND = Frontend(
    "F",
    shows_period=False,
    writes=(
        ScoreEndpoint(
            "POST",
            "/api/v1/scores",
            "Submit a score, or points to add; create the player if unknown.",
            Body(points=5),
            Answer(ALICE.player.user_id, ALICE.player.score, 5, True, 1, 2, None, {}, TIME),  # noqa: FBT003  # in order
            read,
            render,
            creates=True,
        ),
    ),
)
