"""Frontend A: `/api/score` and `/ws/score`."""

from __future__ import annotations

from typing import Literal

import msgspec

from tornado_app.api.frontends.base import Frontend, ScoreEndpoint
from tornado_app.api.schema import (
    ALICE,
    BOARD,
    TIME,
    ZOE,
    Decoder,
    Metadata,
    Name,
    OptionalProof,
    OptionalUserId,
    PlayerId,
    Points,
    Rank,
    Score,
    Time,
    Version,
    idempotency_key,
    metadata_of,
)
from tornado_app.core.model import Caller, Receipt, Submission, TopPlayers, rfc3339
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.core.versions import to_board_version
from tornado_app.http.messages import Request
from tornado_app.live.hub import PersonalUpdate


class Body(msgspec.Struct, omit_defaults=True):
    """Points to add."""

    score: Points
    user_id: OptionalUserId = None
    proof: OptionalProof = None


class Answer(msgspec.Struct):
    """The player's score after the update."""

    user_id: PlayerId
    score: Score
    updated_at: Time


class Row(msgspec.Struct):
    """A row of the board."""

    user_id: PlayerId
    username: Name
    score: Score
    rank: Rank
    updated_at: Time
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET


class Rows(msgspec.Struct):
    """The top 10."""

    leaderboard: list[Row]


class Message(msgspec.Struct):
    """Sent after connecting and on each change of the top 10."""

    event: Literal["leaderboard:update"]
    data: Rows
    version: Version


_decode = Decoder(Body, points="score")


def read(request: Request, caller: Caller) -> Submission:
    """Parse `PATCH`, which refuses an unknown player."""
    body = _decode(request)
    return Submission(
        caller, user_id=body.user_id, points=body.score, action_id=idempotency_key(request), proof=body.proof
    )


def read_creating(request: Request, caller: Caller) -> Submission:
    """Parse `POST`, which creates an unknown player."""
    return msgspec.structs.replace(read(request, caller), create_player=True)


def render(receipt: Receipt, scoreboard: Scoreboard) -> Answer:
    return Answer(receipt.user_id, receipt.score, rfc3339(receipt.updated_at))


def _message(top: TopPlayers) -> Message:
    rows = [
        Row(p.user_id, p.username, p.score, standing.rank, rfc3339(p.updated_at), metadata_of(p))
        for standing in top.standings
        for p in [standing.player]
    ]
    return Message("leaderboard:update", Rows(rows), to_board_version(top.version))


class ScoreChannel:
    """`/ws/score`: the whole top 10 in each message."""

    name = "A"

    def message(self, seen: TopPlayers | None, top: TopPlayers) -> bytes:
        return msgspec.json.encode(_message(top))

    def personal(self, update: PersonalUpdate, version: int) -> None:
        """None: this frontend has no such message."""


_SUMMARY = "Add points to a player's score"

FRONTEND = Frontend(
    "A",
    writes=(
        ScoreEndpoint(
            "POST",
            "/api/score",
            f"{_SUMMARY}; create the player if unknown.",
            Body(5),
            Answer(ALICE.player.user_id, 5, TIME),
            read_creating,
            render,
            creates=True,
            created=Answer(ZOE.player.user_id, 5, TIME),
        ),
        ScoreEndpoint(
            "PATCH",
            "/api/score",
            f"{_SUMMARY}; an unknown player is an error.",
            Body(5),
            Answer(ALICE.player.user_id, 10, TIME),
            read,
            render,
        ),
    ),
    sockets=(("/ws/score", ScoreChannel()),),
    messages=(_message(BOARD),),
)
