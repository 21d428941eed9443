"""Players: one player, the players around one, pages of the board, and the profile."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from tornado_app.api.authentication import Authenticator
from tornado_app.api.rest import board_version, submission_log
from tornado_app.api.rest.board_version import Shown
from tornado_app.api.rest.operations import (
    ANY,
    BODY,
    CREDENTIALS,
    PLAYER,
    VERSION,
    Errors,
    Operation,
    Outcome,
    Parameter,
    Tag,
    cached,
    handles,
    routes_of,
)
from tornado_app.api.rest.params import (
    CONDITIONS,
    PERIOD,
    USER_ID,
    decode_cursor,
    encode_cursor,
    int_query_param,
    path_user_id,
    user_ids_query_param,
)
from tornado_app.api.schema import (
    ALICE,
    BOARD,
    FIRST,
    SECOND,
    ZOE,
    AvatarUrl,
    Decoder,
    Metadata,
    Name,
    NewAvatarUrl,
    NewName,
    NextRank,
    Percentile,
    PlayerId,
    Rank,
    Score,
    Time,
    Total,
    metadata_of,
    next_rank,
)
from tornado_app.core import identity
from tornado_app.core.errors import (
    DatabaseError,
    InvalidBody,
    LeaderboardError,
    Overloaded,
    PeriodNotFound,
    PlayerNotFound,
    UserMismatch,
)
from tornado_app.core.model import Placement, Player, ProfileChange, Standing, rfc3339
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.conditional import PRIVATE, json_response
from tornado_app.http.errors import BadRequest
from tornado_app.http.messages import JSON_TYPE, Request, Response, Route

AROUND, MAX_AROUND = 5, 50
PAGE, MAX_PAGE = 50, 200
MAX_PLAYERS = 100

TAG = Tag("Players", "The board beyond its top 10, and the profiles of players.")

_NEXT = "Value of `after` for the next page; null on the last page."


class PlayerRow(msgspec.Struct):
    """A player with score and rank."""

    user_id: PlayerId
    username: Name
    avatar_url: AvatarUrl | None
    score: Score
    rank: Rank
    updated_at: Time
    metadata: Metadata | UnsetType = UNSET


class PlayerAnswer(PlayerRow, kw_only=True):
    """A player with the place on the whole board. `next` is null for rank 1."""

    total: Total
    percentile: Percentile
    next: NextRank | None


class ProfileAnswer(msgspec.Struct, kw_only=True):
    """A player, as `GET` returns it. Without a score (rule best or last), score, rank, percentile and next are null."""

    user_id: PlayerId
    username: Name
    avatar_url: AvatarUrl | None
    score: Score | None
    rank: Rank | None
    updated_at: Time
    metadata: Metadata | UnsetType = UNSET
    total: Total
    percentile: Percentile | None
    next: NextRank | None


class Around(msgspec.Struct):
    """A player with the players above and below, in board order."""

    above: list[PlayerRow]
    player: PlayerAnswer
    below: list[PlayerRow]


class Page(msgspec.Struct):
    """A page of the board, or the requested players, in board order."""

    players: list[PlayerRow]
    next: Annotated[str | None, msgspec.Meta(description=_NEXT)]
    total: Total


class ProfileBody(msgspec.Struct):
    """The player's own name and picture, which tokens do not change. Omitted fields keep their value."""

    username: NewName | UnsetType = UNSET
    avatar_url: NewAvatarUrl | UnsetType = UNSET


def to_row(standing: Standing) -> PlayerRow:
    p = standing.player
    return PlayerRow(p.user_id, p.username, p.avatar_url, p.score, standing.rank, rfc3339(p.updated_at), metadata_of(p))


def to_answer(place: Placement) -> PlayerAnswer:
    row = msgspec.structs.asdict(to_row(place.standing))
    return PlayerAnswer(**row, total=place.total, percentile=place.percentile, next=next_rank(place))


_ALICE, _ZOE = to_answer(FIRST), to_answer(SECOND)
_NEW = ProfileAnswer(**msgspec.structs.asdict(msgspec.structs.replace(_ALICE, score=0, total=1)))
_FOUND: Errors = (*ANY, PeriodNotFound, PlayerNotFound, DatabaseError)
_AROUND_LIMIT = Parameter(
    key="around_limit",
    name="limit",
    place="query",
    description="Maximum number of players above, and below.",
    maximum=MAX_AROUND,
    default=AROUND,
)
_PAGE_LIMIT = Parameter(
    key="page_limit",
    name="limit",
    place="query",
    description="Maximum number of players on a page.",
    maximum=MAX_PAGE,
    default=PAGE,
    example=1,
)
_AFTER = Parameter(
    name="after", place="query", description="The previous page's `next`. Without it, the response is the first page."
)
_PLAYERS = Parameter(
    name="players",
    place="query",
    description=f"1 to {MAX_PLAYERS} user ids, separated by commas: the response has those of these players who are on "
    "the board, as for a list of friends. Within an id, write a comma as `%2C` and a percent sign as `%25`, before the "
    "whole value is percent-encoded.",
)


class PlayerEndpoints:
    """The endpoints under `/api/v1/players` and `/api/v1/leaderboard`."""

    def __init__(self, scoreboard: Scoreboard, authenticator: Authenticator) -> None:
        self._scoreboard = scoreboard
        self._authenticator = authenticator
        self._decode = Decoder(ProfileBody, optional=True)

    def routes(self) -> list[Route]:
        return routes_of(self)

    @handles(
        Operation(
            method="GET",
            path="/api/v1/players/{user_id}",
            tag=TAG,
            summary="Return a player's score, rank and profile.",
            outcomes=cached(_ALICE, VERSION),
            errors=_FOUND,
            parameters=(USER_ID, PERIOD, *CONDITIONS),
        )
    )
    async def get(self, request: Request) -> Response:
        user_id = path_user_id(request)
        shown = await board_version.wait(request, self._scoreboard.board)
        standing = await self._scoreboard.standing(user_id)
        return json_response(
            request,
            msgspec.json.encode(to_answer(self._scoreboard.placement(standing))),
            PRIVATE,
            self._version(shown, standing),
        )

    def _version(self, shown: Shown, *standings: Standing) -> tuple[str, str]:
        """The header for these standings, whose ranks are those of the current board."""
        read = max((standing.player.version for standing in standings), default=0)
        return shown.header(max(self._scoreboard.board.version, read))

    @handles(
        Operation(
            method="PUT",
            path="/api/v1/players/{user_id}",
            tag=TAG,
            summary="Create a player, or change the player's name and picture.",
            outcomes={
                200: Outcome("The profile was changed, or is the same already.", _NEW, (VERSION,)),
                201: Outcome("The player was created.", _NEW, (VERSION,)),
            },
            errors=(*_FOUND, *CREDENTIALS, *BODY, UserMismatch, Overloaded),
            access=PLAYER,
            parameters=(USER_ID,),
            body=ProfileBody(username=_NEW.username, avatar_url=_NEW.avatar_url),
            body_required=False,
        )
    )
    async def put(self, request: Request) -> Response:
        caller = await self._authenticator.authenticate(request)
        user_id = path_user_id(request)
        try:
            change = _change(self._decode(request))
            done = await self._scoreboard.register(caller, user_id, change)
        except LeaderboardError as refusal:
            submission_log.profile_refused(request, caller, user_id, refusal)
            raise
        submission_log.profile_changed(request, caller, done)
        player = done.player
        answer: PlayerAnswer | ProfileAnswer
        if done.scored:
            standing = Standing(self._scoreboard.board.rank_of(user_id, player.score), player)
            answer = to_answer(self._scoreboard.placement(standing))
        else:
            answer = _without_score(player, self._scoreboard.board.total)
        headers = (JSON_TYPE, board_version.ANY.header(player.version))
        return Response(201 if done.created else 200, msgspec.json.encode(answer), headers)

    @handles(
        Operation(
            method="GET",
            path="/api/v1/players/{user_id}/around",
            tag=TAG,
            summary="Return a player with the players just above and below.",
            outcomes=cached(Around([], _ALICE, [to_row(ZOE)]), VERSION),
            errors=_FOUND,
            parameters=(USER_ID, _AROUND_LIMIT, PERIOD, *CONDITIONS),
        )
    )
    async def around(self, request: Request) -> Response:
        limit = int_query_param(request, "limit", AROUND, MAX_AROUND)
        user_id = path_user_id(request)
        shown = await board_version.wait(request, self._scoreboard.board)
        above, standing, below = await self._scoreboard.around(user_id, limit)
        own = to_answer(self._scoreboard.placement(standing))
        body = Around(list(map(to_row, above)), own, list(map(to_row, below)))
        version = self._version(shown, *above, standing, *below)
        return json_response(request, msgspec.json.encode(body), PRIVATE, version)

    @handles(
        Operation(
            method="GET",
            path="/api/v1/leaderboard",
            tag=TAG,
            summary="Return the whole board, page by page, or the rows of some players.",
            outcomes=cached(Page([to_row(ALICE)], encode_cursor(ALICE.player), len(BOARD.standings)), VERSION),
            errors=(*ANY, PeriodNotFound, DatabaseError),
            parameters=(_PAGE_LIMIT, _AFTER, _PLAYERS, PERIOD, *CONDITIONS),
        )
    )
    async def page(self, request: Request) -> Response:
        limit = int_query_param(request, "limit", PAGE, MAX_PAGE)
        after = request.arguments().get("after")
        start = None if after is None else decode_cursor(after)
        user_ids = user_ids_query_param(request, "players", MAX_PLAYERS)
        if user_ids is not None and request.arguments().keys() & {"limit", "after"}:
            raise BadRequest("players: the response has no pages. Leave out limit and after.")
        shown = await board_version.wait(request, self._scoreboard.board)
        more = None
        if user_ids is not None:
            standings = await self._scoreboard.chosen(user_ids)
        else:
            standings = await self._scoreboard.page(limit, start)
            more = encode_cursor(standings[-1].player) if len(standings) == limit else None
        body = Page(list(map(to_row, standings)), more, self._scoreboard.board.total)
        return json_response(request, msgspec.json.encode(body), PRIVATE, self._version(shown, *standings))


def _without_score(p: Player, total: int) -> ProfileAnswer:
    return ProfileAnswer(
        user_id=p.user_id,
        username=p.username,
        avatar_url=p.avatar_url,
        score=None,
        rank=None,
        updated_at=rfc3339(p.updated_at),
        total=total,
        percentile=None,
        next=None,
    )


def _change(body: ProfileBody) -> ProfileChange:
    username, avatar_url = body.username, body.avatar_url
    if isinstance(username, str) and (username := identity.username(username)) is None:
        raise InvalidBody(
            f"username: use 1 to {identity.MAX_USERNAME} characters, at least one visible, no control characters."
        )
    if isinstance(avatar_url, str) and (avatar_url := identity.avatar_url(avatar_url)) is None:
        raise InvalidBody("avatar_url: use an absolute http or https URL.")
    return ProfileChange(username, avatar_url)
