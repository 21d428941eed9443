"""The board beyond its top 10: a player, the neighbours, pages of everybody; and how a player is made."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from tornado_app.api.authentication import Authenticator
from tornado_app.api.rest import board_version, submission_log
from tornado_app.api.rest.board_version import Shown
from tornado_app.api.rest.params import decode_cursor, encode_cursor, int_query_param, path_user_id
from tornado_app.api.schema.decoding import Decoder
from tornado_app.api.schema.fields import AvatarUrl, Name, NewAvatarUrl, NewName, PlayerId, Rank, Score, Time
from tornado_app.core import identity
from tornado_app.core.errors import InvalidBody, LeaderboardError
from tornado_app.core.model import ProfileChange, Standing, rfc3339
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.conditional import PRIVATE, json_response
from tornado_app.http.messages import JSON_TYPE, Request, Response, Route

AROUND, MAX_AROUND = 5, 50
PAGE, MAX_PAGE = 50, 200

_NEXT = "The `after` of the next page; null on the last."


class PlayerAnswer(msgspec.Struct):
    """A player's place on the board."""

    user_id: PlayerId
    username: Name
    avatar_url: AvatarUrl | None
    score: Score
    rank: Rank
    updated_at: Time


class Around(msgspec.Struct):
    """A player between the neighbours, all in board order."""

    above: list[PlayerAnswer]
    player: PlayerAnswer
    below: list[PlayerAnswer]


class Page(msgspec.Struct):
    """A page of the board."""

    players: list[PlayerAnswer]
    next: Annotated[str | None, msgspec.Meta(description=_NEXT, examples=["WzQyLDE3NjczMjMwNDU2NzgsImFsaWNlIl0="])]
    total: Annotated[int, msgspec.Meta(description="How many players are on the board.", examples=[1204])]


class ProfileBody(msgspec.Struct):
    """How the player is shown: the player's own choice, which no token changes. What is left out stays as it is."""

    username: NewName | UnsetType = UNSET
    avatar_url: NewAvatarUrl | UnsetType = UNSET


class PlayerEndpoints:
    """The endpoints under `/api/v1/players` and `/api/v1/leaderboard`."""

    def __init__(self, scoreboard: Scoreboard, authenticator: Authenticator) -> None:
        self._scoreboard = scoreboard
        self._authenticator = authenticator
        self._decode = Decoder(ProfileBody, optional=True)

    def routes(self) -> list[Route]:
        """Paths, and what answers on them."""
        return [
            Route("/api/v1/players/{user_id}", {"GET": self.get, "PUT": self.put}, frozenset()),
            Route("/api/v1/players/{user_id}/around", {"GET": self.around}, frozenset({"limit"})),
            Route("/api/v1/leaderboard", {"GET": self.page}, frozenset({"limit", "after"})),
        ]

    async def get(self, request: Request) -> Response:
        """One player."""
        user_id = path_user_id(request)
        shown = await board_version.wait(request, self._scoreboard.board)
        standing = await self._scoreboard.standing(user_id)
        return json_response(
            request, msgspec.json.encode(to_response(standing)), PRIVATE, self._version(shown, standing)
        )

    def _version(self, shown: Shown, *standings: Standing) -> tuple[str, str]:
        """The header for these standings, whose ranks are of the board as it is now."""
        read = max((standing.player.version for standing in standings), default=0)
        return shown.header(max(self._scoreboard.board.version, read))

    async def put(self, request: Request) -> Response:
        """Create a player, or change name and picture: 201 where it was created."""
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
        standing = Standing(self._scoreboard.board.rank_of(user_id, player.score), player)
        headers = (JSON_TYPE, (board_version.HEADER, str(player.version)))
        return Response(201 if done.created else 200, msgspec.json.encode(to_response(standing)), headers)

    async def around(self, request: Request) -> Response:
        """The players just above and below one."""
        limit = int_query_param(request, "limit", AROUND, MAX_AROUND)
        user_id = path_user_id(request)
        shown = await board_version.wait(request, self._scoreboard.board)
        above, standing, below = await self._scoreboard.around(user_id, limit)
        body = Around(list(map(to_response, above)), to_response(standing), list(map(to_response, below)))
        version = self._version(shown, *above, standing, *below)
        return json_response(request, msgspec.json.encode(body), PRIVATE, version)

    async def page(self, request: Request) -> Response:
        """One page of the whole board."""
        limit = int_query_param(request, "limit", PAGE, MAX_PAGE)
        after = request.arguments().get("after")
        start = None if after is None else decode_cursor(after)
        shown = await board_version.wait(request, self._scoreboard.board)
        standings = await self._scoreboard.page(limit, start)
        more = encode_cursor(standings[-1].player) if len(standings) == limit else None
        body = Page(list(map(to_response, standings)), more, self._scoreboard.board.total)
        return json_response(request, msgspec.json.encode(body), PRIVATE, self._version(shown, *standings))


def to_response(standing: Standing) -> PlayerAnswer:
    """A standing on the wire."""
    p = standing.player
    return PlayerAnswer(p.user_id, p.username, p.avatar_url, p.score, standing.rank, rfc3339(p.updated_at))


def _change(body: ProfileBody) -> ProfileChange:
    username, avatar_url = body.username, body.avatar_url
    if isinstance(username, str) and (username := identity.username(username)) is None:
        raise InvalidBody(
            f"username: use 1 to {identity.MAX_USERNAME} characters, one visible at least, no control characters."
        )
    if isinstance(avatar_url, str) and (avatar_url := identity.avatar_url(avatar_url)) is None:
        raise InvalidBody("avatar_url: use an absolute http or https URL.")
    return ProfileChange(username, avatar_url)
