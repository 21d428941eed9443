"""The board's public views: rendered once for each change, answered from memory, with ETag and 304."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable
from hashlib import blake2b

import msgspec

from tornado_app.api import board_version
from tornado_app.api.board_version import Shown
from tornado_app.api.credentials import Door, offered
from tornado_app.api.face import Read
from tornado_app.api.http import JSON_TYPE, Request, Response
from tornado_app.core.errors import PlayerNotFound
from tornado_app.core.model import Standing
from tornado_app.core.scoreboard import Scoreboard

PUBLIC = ("Cache-Control", "public, max-age=0, must-revalidate")
"""Shared caches may keep it, and ask each time whether it is still so."""

PRIVATE = ("Cache-Control", "private, no-cache")


def etag_of(body: bytes) -> str:
    """The strong entity tag of a body."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def tagged(request: Request, body: bytes, *headers: tuple[str, str]) -> Response:
    """The JSON body with its ETag, or 304 where the client has it already."""
    etag = etag_of(body)
    return fresh(request, Response(200, body, (JSON_TYPE, ("ETag", etag), *headers)), etag)


def fresh(request: Request, response: Response, etag: str) -> Response:
    """The response, or 304 where `If-None-Match` names its ETag. Source: RFC 9110, section 13.1.2."""
    known = request.headers.get("If-None-Match")
    if known is None or not _names(known, etag):
        return response
    return Response(304, headers=tuple(header for header in response.headers if header[0] != "Content-Type"))


def _names(known: str, etag: str) -> bool:
    return known in (etag, "*") or any(tag.strip().removeprefix("W/") == etag for tag in known.split(","))


class ReadEndpoint:
    """Serves one `Read` of a face; the bytes are made when the board changed, not when somebody asks."""

    def __init__(self, read: Read, scoreboard: Scoreboard, door: Door) -> None:
        self._read = read
        self._scoreboard = scoreboard
        self._door = door
        self._revision = -1
        self._response = Response(200)
        self._etag = ""

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """Answer from memory; only a caller's own place may need the database."""
        if self._read.personal is not None and offered(request.headers):
            return self._personal(request)
        version = board_version.wanted(request)
        if version is None:
            return self._public(request, board_version.ANY)
        if self._scoreboard.board.can_show(version):
            return self._public(request, Shown(version, reached=True))
        return self._wait(request)

    def _public(self, request: Request, shown: Shown) -> Response:
        board = self._scoreboard.board
        if self._revision != board.revision:
            self._render()
        response = fresh(request, self._response, self._etag)
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
        assert self._read.personal is not None  # noqa: S101  # only called where it is
        user_id = (await self._door.caller(request)).user_id
        board = self._scoreboard.board
        shown = await board_version.wait(request, board)
        own: Standing | None = None
        with contextlib.suppress(PlayerNotFound):  # somebody who never scored gets the public answer
            own = await self._scoreboard.standing(user_id)
        answer = self._read.render(self._scoreboard)
        if own is not None:
            answer = self._read.personal(answer, own)
        version = shown.header(board.version if own is None else max(board.version, own.player.version))
        return tagged(request, msgspec.json.encode(answer), PRIVATE, ("Vary", "Authorization"), version)
