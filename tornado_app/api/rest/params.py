"""Parameters of REST requests: the user id in the path, integers in the query, the cursor of a page."""

from __future__ import annotations

import base64
from typing import overload

import msgspec

from tornado_app.core import identity
from tornado_app.core.errors import PlayerNotFound
from tornado_app.core.model import Player
from tornado_app.core.numbers import integer
from tornado_app.http.errors import BadRequest
from tornado_app.http.messages import Request


def encode_cursor(player: Player) -> str:
    """The position of a player on the board as an opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode((player.score, player.updated_at, player.user_id))).decode()


def decode_cursor(text: str) -> Player:
    """The position that `encode_cursor` encoded. Raises BadRequest for any other text."""
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
        score, updated_at, user_id = msgspec.json.decode(raw, type=tuple[int, int, str])
    except (ValueError, msgspec.DecodeError):
        raise BadRequest("after: pass on the value of 'next' as it is.") from None
    if not (-(2**63) <= score < 2**63 and 0 <= updated_at < 2**47):
        raise BadRequest("after: pass on the value of 'next' as it is.")
    return Player(user_id, score, updated_at, username=user_id)


def path_user_id(request: Request) -> str:
    """The user id in the path. Raises PlayerNotFound for a text that cannot be a user id."""
    user_id = request.params["user_id"]
    if not identity.is_user_id(user_id):
        raise PlayerNotFound(reason="no_user_id", detail="what the path names cannot be a user id")
    return user_id


@overload
def int_query_param(request: Request, name: str, default: int, maximum: int) -> int: ...
@overload
def int_query_param(request: Request, name: str, default: None, maximum: int) -> int | None: ...
def int_query_param(request: Request, name: str, default: int | None, maximum: int) -> int | None:
    """The query's argument `name`, from 1 to `maximum`. Raises BadRequest for anything else."""
    text = request.arguments().get(name)
    if text is None:
        return default
    value = integer(text)
    if value is None or not 1 <= value <= maximum:
        raise BadRequest(f"{name}: use an integer from 1 to {maximum}.")
    return value
