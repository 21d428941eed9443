"""Reads of the board: rendered once for each change of its view, and served from memory with an ETag."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable

import msgspec

from tornado_app.api.authentication import Authenticator, has_credentials
from tornado_app.api.frontends.base import BoardEndpoint
from tornado_app.api.rest import board_version
from tornado_app.api.rest.board_version import Shown
from tornado_app.core.errors import PlayerNotFound
from tornado_app.core.model import Standing
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.core.versions import from_board_version
from tornado_app.http.conditional import PRIVATE, PUBLIC, etag_of, json_response, not_modified_or
from tornado_app.http.messages import JSON_TYPE, Request, Response


class BoardHandler:
    """Serves one `BoardEndpoint` of a frontend."""

    def __init__(self, read: BoardEndpoint, scoreboard: Scoreboard, authenticator: Authenticator) -> None:
        self._read = read
        self._scoreboard = scoreboard
        self._authenticator = authenticator
        self._revision = -1
        self._response = Response(200)
        self._etag = ""

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """Answer from memory; only the caller's own rank may need the database."""
        if self._read.personal is not None and has_credentials(request.headers):
            return self._personal(request)
        number = board_version.wanted(request)
        if number is None:
            return self._public(request, board_version.ANY)
        if self._scoreboard.board.can_show(from_board_version(number)):
            return self._public(request, Shown(number, reached=True))
        return self._wait(request)

    def _public(self, request: Request, shown: Shown) -> Response:
        board = self._scoreboard.board
        if self._revision != board.revision:
            self._render()
        response = not_modified_or(request, self._response, self._etag)
        return response if shown.wanted is None else response.replacing(shown.header(board.version))

    async def _wait(self, request: Request) -> Response:
        return self._public(request, await board_version.wait(request, self._scoreboard.board))

    def _render(self) -> None:
        revision = self._scoreboard.board.revision
        body = msgspec.json.encode(self._read.render(self._scoreboard))
        self._etag = etag_of(body)
        vary = () if self._read.personal is None else (("Vary", "Authorization"),)
        version = board_version.ANY.header(self._scoreboard.board.version)
        self._response = Response(200, body, (JSON_TYPE, ("ETag", self._etag), PUBLIC, *vary, version))
        self._revision = revision

    async def _personal(self, request: Request) -> Response:
        assert self._read.personal is not None  # noqa: S101  # checked by the caller
        user_id = (await self._authenticator.authenticate(request)).user_id
        board = self._scoreboard.board
        shown = await board_version.wait(request, board)
        own: Standing | None = None
        with contextlib.suppress(PlayerNotFound):  # a caller who has no score gets the public response
            own = await self._scoreboard.standing(user_id)
        answer = self._read.render(self._scoreboard)
        if own is not None:
            answer = self._read.personal(answer, self._scoreboard.placement(own))
        version = shown.header(board.version if own is None else max(board.version, own.player.version))
        return json_response(request, msgspec.json.encode(answer), PRIVATE, ("Vary", "Authorization"), version)
