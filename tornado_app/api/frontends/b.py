"""Frontend B: `/api/update-score`, `/api/top-scores` and `/ws/scoreboard`, which D and E use too."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tornado_app.api.frontends.base import BoardEndpoint, Frontend, ScoreEndpoint
from tornado_app.api.schema import (
    BOARD,
    BOARD_VERSION,
    ActionType,
    Decoder,
    Metadata,
    Name,
    OptionalProof,
    OptionalUserId,
    PlayerId,
    Points,
    Score,
    Version,
    idempotency_key,
    metadata_of,
)
from tornado_app.core.model import Caller, Receipt, Submission, TopPlayers
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.core.versions import to_board_version
from tornado_app.http.messages import Request
from tornado_app.live.hub import PersonalUpdate


class Body(msgspec.Struct, omit_defaults=True):
    """Points to add. With `action_type`, the service's actions table has the points."""

    increment: Annotated[Points, msgspec.Meta(extra_json_schema={"default": 1})] | msgspec.UnsetType = msgspec.UNSET
    action_type: ActionType | None = None
    user_id: OptionalUserId = None
    proof: OptionalProof = None


class Answer(msgspec.Struct):
    """The player's score after the update."""

    status: Literal["success"]
    new_score: Score


class Row(msgspec.Struct):
    """A row of the board."""

    user_id: PlayerId
    username: Name
    score: Score
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET


class TopScores(msgspec.Struct):
    """The top 10, best first."""

    top_scores: list[Row]


class Message(msgspec.Struct):
    """Sent after connecting and on each change of the top 10."""

    event: Literal["update"]
    top_scores: list[Row]
    version: Version


_decode = Decoder(Body, points="increment", optional=True)


def read(request: Request, caller: Caller) -> Submission:
    """Parse an update; an empty body is one point."""
    body = _decode(request)
    return Submission(
        caller,
        user_id=body.user_id,
        points=None if body.increment is msgspec.UNSET else body.increment,
        action_type=body.action_type,
        action_id=idempotency_key(request),
        proof=body.proof,
        default_points=1,
    )


def render(receipt: Receipt, scoreboard: Scoreboard) -> Answer:
    return Answer("success", receipt.score)


def rows(top: TopPlayers) -> list[Row]:
    players = [standing.player for standing in top.standings]
    return [Row(player.user_id, player.username, player.score, metadata_of(player)) for player in players]


def top_scores(scoreboard: Scoreboard) -> TopScores:
    return TopScores(rows(scoreboard.board.top))


class ScoreboardChannel:
    """`/ws/scoreboard`: the whole top 10 in each message."""

    name = "B"

    def message(self, seen: TopPlayers | None, top: TopPlayers) -> bytes:
        return msgspec.json.encode(Message("update", rows(top), to_board_version(top.version)))

    def personal(self, update: PersonalUpdate, version: int) -> None:
        """None: this frontend has no such message."""


FRONTEND = Frontend(
    "B",
    writes=(
        ScoreEndpoint(
            "POST",
            "/api/update-score",
            "Add points, by number or by action type, to a player's score; an unknown player is an error.",
            Body(10),
            Answer("success", 20),
            read,
            render,
            optional_body=True,
        ),
    ),
    reads=(BoardEndpoint("/api/top-scores", "Return the top 10.", TopScores(rows(BOARD)), top_scores),),
    sockets=(("/ws/scoreboard", ScoreboardChannel()),),
    messages=(Message("update", rows(BOARD), BOARD_VERSION),),
)
