"""Frontend C: `/api/scores/update`, `/api/leaderboard` and `/ws/leaderboard`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tornado_app.api.frontends.base import BoardEndpoint, Frontend, ScoreEndpoint
from tornado_app.api.schema import (
    BOARD,
    BOARD_VERSION,
    FIRST,
    TIME,
    ActionId,
    ActionType,
    AvatarUrl,
    Decoder,
    Metadata,
    Name,
    NextRank,
    OptionalProof,
    OptionalUserId,
    Percentile,
    PlayerId,
    Rank,
    Score,
    Time,
    Total,
    Version,
    metadata_of,
    next_rank,
)
from tornado_app.core.model import TOP, Caller, Placement, Receipt, Standing, Submission, TopPlayers, rfc3339
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.core.versions import to_board_version
from tornado_app.http.messages import Request
from tornado_app.live.hub import PersonalUpdate


class Body(msgspec.Struct, omit_defaults=True):
    """An action. Its id makes it count once. `userId` is accepted for `user_id`."""

    action_id: ActionId = msgspec.field(name="actionId")
    action_type: ActionType = msgspec.field(name="actionType")
    user_id: OptionalUserId = None
    camel_user_id: OptionalUserId = msgspec.field(default=None, name="userId")
    proof: OptionalProof = None


class Answer(msgspec.Struct, rename="camel"):
    """The player's score and rank after the update."""

    success: bool
    new_score: Score
    leaderboard_position: Rank
    message: Annotated[str, msgspec.Meta(description="A sentence for people.")]


class Row(msgspec.Struct, rename="camel"):
    """A row of the board."""

    user_id: PlayerId
    username: Name
    avatar_url: AvatarUrl | None
    score: Score
    rank: Rank
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET


class UserRank(msgspec.Struct):
    """The caller's own place."""

    rank: Rank
    score: Score
    percentile: Percentile
    next: NextRank | None


class Leaderboard(msgspec.Struct, rename="camel"):
    """The top 10, the number of players and, if the request has a token, the caller's own rank."""

    leaderboard: list[Row]
    total_users: Total
    last_updated: Time | None
    user_rank: UserRank | msgspec.UnsetType = msgspec.UNSET


class Position(msgspec.Struct, rename="camel"):
    """A changed position of the board. If the position became empty, all fields but `position` are null."""

    user_id: PlayerId | None
    username: Name | None
    avatar_url: AvatarUrl | None
    score: Score | None
    rank: Rank | None
    position: Annotated[int, msgspec.Meta(ge=1, le=TOP, description="Position on the board, from the top.")]
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET


class Positions(msgspec.Struct, rename="camel"):
    """The changed positions; all positions in the first message."""

    updated_positions: list[Position]


class Update(msgspec.Struct):
    """Sent after connecting and on each change of the top 10."""

    type: Literal["leaderboard.update"]
    data: Positions
    version: Version


class ScoreUpdateData(msgspec.Struct, rename="camel"):
    """The player's score and rank."""

    new_score: Score
    leaderboard_position: Rank
    change: Annotated[int, msgspec.Meta(description="Points since the last message.")]


class ScoreUpdate(msgspec.Struct):
    """Sent to an authenticated player when their score changes."""

    type: Literal["user.scoreUpdate"]
    data: ScoreUpdateData
    version: Version


_decode = Decoder(Body)


def read(request: Request, caller: Caller) -> Submission:
    """Parse an update, which creates an unknown player."""
    body = _decode(request)
    return Submission(
        caller,
        user_id=body.user_id or body.camel_user_id,
        action_type=body.action_type,
        action_id=body.action_id,
        create_player=True,
        proof=body.proof,
    )


def render(receipt: Receipt, scoreboard: Scoreboard) -> Answer:
    """The position is the current one of the receipt's score, without the player's own later points."""
    position = scoreboard.board.rank_of(receipt.user_id, receipt.score, receipt.superseded_at)
    return Answer(True, receipt.score, position, "Score updated.")  # noqa: FBT003  # in order


def row(standing: Standing) -> Row:
    player = standing.player
    return Row(player.user_id, player.username, player.avatar_url, player.score, standing.rank, metadata_of(player))


def leaderboard(scoreboard: Scoreboard) -> Leaderboard:
    """The public part of the response to `GET /api/leaderboard`."""
    board = scoreboard.board
    updated = rfc3339(board.last_updated) if board.last_updated else None
    return Leaderboard([row(standing) for standing in board.top.standings], board.total, updated)


def with_user_rank(public: Leaderboard, own: Placement) -> Leaderboard:
    user_rank = UserRank(own.standing.rank, own.standing.player.score, own.percentile, next_rank(own))
    return msgspec.structs.replace(public, user_rank=user_rank)


class LeaderboardChannel:
    """`/ws/leaderboard`: the whole top 10 first, then changed positions; and players' own scores."""

    name = "C"

    def message(self, seen: TopPlayers | None, top: TopPlayers) -> bytes:
        """The positions in which `top` differs from `seen`."""
        before = [] if seen is None else positions(seen)
        now = positions(top)
        changed = [place for place in now if place not in before]
        changed += [Position(None, None, None, None, None, n + 1) for n in range(len(now), len(before))]
        return msgspec.json.encode(Update("leaderboard.update", Positions(changed), to_board_version(top.version)))

    def personal(self, update: PersonalUpdate, version: int) -> bytes:
        data = ScoreUpdateData(update.score, update.rank, update.change)
        return msgspec.json.encode(ScoreUpdate("user.scoreUpdate", data, to_board_version(version)))


def positions(top: TopPlayers) -> list[Position]:
    places = [(n, standing, standing.player) for n, standing in enumerate(top.standings[:TOP], start=1)]
    return [Position(p.user_id, p.username, p.avatar_url, p.score, s.rank, n, metadata_of(p)) for n, s, p in places]


FRONTEND = Frontend(
    "C",
    writes=(
        ScoreEndpoint(
            "POST",
            "/api/scores/update",
            "Report an action, which counts once; create the player if unknown.",
            Body("level-7-8c1f", "level_complete"),
            Answer(success=True, new_score=70, leaderboard_position=1, message="Score updated."),
            read,
            render,
            creates=True,
            idempotency_key=False,
        ),
    ),
    reads=(
        BoardEndpoint(
            "/api/leaderboard",
            "Return the top 10, the number of players and the caller's own rank.",
            with_user_rank(Leaderboard([row(standing) for standing in BOARD.standings], 2, TIME), FIRST),
            leaderboard,
            with_user_rank,
        ),
    ),
    sockets=(("/ws/leaderboard", LeaderboardChannel()),),
    messages=(
        Update("leaderboard.update", Positions(positions(BOARD)), BOARD_VERSION),
        ScoreUpdate("user.scoreUpdate", ScoreUpdateData(221, 1, 50), BOARD_VERSION),
    ),
)
