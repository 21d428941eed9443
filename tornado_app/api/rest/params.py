"""Parameters of REST requests: as the API's description has them, and as values."""

from __future__ import annotations

import base64
from typing import overload
from urllib.parse import unquote

import msgspec

from tornado_app.api.rest import board_version
from tornado_app.api.rest.operations import Parameter
from tornado_app.api.schema import ACTION_ID, BOARD_VERSION
from tornado_app.core import identity
from tornado_app.core.errors import PlayerNotFound
from tornado_app.core.model import Player
from tornado_app.core.periods import PERIOD_PATTERN
from tornado_app.core.text import integer
from tornado_app.http.errors import BadRequest
from tornado_app.http.messages import Request

USER_ID = Parameter(
    name="user_id",
    place="path",
    description="The player's user id, percent-encoded. The error is 404 if it is not a valid user id.",
    pattern=identity.USER_ID,
    example="alice",
)
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    place="header",
    description="Makes the request count once. The same key with the same request returns the stored response; with a "
    "different request the error is 409. Without a key, each request counts.",
    pattern=ACTION_ID,
    example="level-7-8c1f",
)
ACTION_PROOF = Parameter(
    name="Action-Proof",
    place="header",
    description="The game server's signature of the action: a compact JWS with `sub`, `act`, `pts`, `jti`, `iat` and "
    "`exp`. Its `jti` makes the action count once. The setting `action_proof` says whether it is required.",
)
CAPTCHA_TOKEN = Parameter(
    name="Captcha-Token",
    place="header",
    description="The token of a solved captcha. Required if `captcha_url` is set and the request has no action proof.",
)
IF_NONE_MATCH = Parameter(
    name="If-None-Match",
    place="header",
    description="The `ETag` of the response that the client has. The response is 304 if it has not changed.",
)
IF_BOARD_VERSION = Parameter(
    name=board_version.CONDITION,
    place="header",
    description=f"The greatest `{board_version.HEADER}` that the client has seen, from any path and process. The "
    f"response waits up to {board_version.PATIENCE * 1000:.0f} ms for that version. If the version is still not "
    f"reached, the response has a lower `{board_version.HEADER}`.",
    pattern=r"^[0-9]{1,16}$",
    example=str(BOARD_VERSION),
)
PERIOD = Parameter(
    name="period",
    place="query",
    description="Name of a period: the scores in its open epoch. `all`: those of all time, also where a board shows a "
    "period without the argument.",
    pattern=f"^{PERIOD_PATTERN}$",
)
CONDITIONS = (IF_NONE_MATCH, IF_BOARD_VERSION)


def encode_cursor(player: Player) -> str:
    """The position of a player on the board as an opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode((player.score, player.updated_at, player.user_id))).decode()


def decode_cursor(text: str) -> Player:
    """The position that `encode_cursor` encoded. Raises BadRequest for any other text."""
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
        score, updated_at, user_id = msgspec.json.decode(raw, type=tuple[int, int, str])
    except (ValueError, msgspec.DecodeError):
        raise BadRequest("after: send the value of 'next' unchanged.") from None
    if not (-(2**63) <= score < 2**63 and 0 <= updated_at < 2**47):
        raise BadRequest("after: send the value of 'next' unchanged.")
    return Player(user_id, score, updated_at, username=user_id)


def path_user_id(request: Request) -> str:
    """The user id in the path. Raises PlayerNotFound for a text that cannot be a user id."""
    user_id = request.params["user_id"]
    if not identity.is_user_id(user_id):
        raise PlayerNotFound(reason="no_user_id", detail="the path does not contain a valid user id")
    return user_id


def user_ids_query_param(request: Request, name: str, maximum: int) -> list[str] | None:
    """The query argument `name`: user ids, separated by commas, without duplicates; None without the argument.

    Within an id, percent-encoding is decoded once more. Raises BadRequest for any other value.
    """
    text = request.arguments().get(name)
    if text is None:
        return None
    user_ids = list(dict.fromkeys(unquote(part) for part in text.split(",")))
    if len(user_ids) > maximum or not all(map(identity.is_user_id, user_ids)):
        raise BadRequest(f"{name}: use 1 to {maximum} user ids, separated by commas.")
    return user_ids


@overload
def int_query_param(request: Request, name: str, default: int, maximum: int) -> int: ...
@overload
def int_query_param(request: Request, name: str, default: None, maximum: int) -> int | None: ...
def int_query_param(request: Request, name: str, default: int | None, maximum: int) -> int | None:
    """The query argument `name`, an integer from 1 to `maximum`. Raises BadRequest for any other value."""
    text = request.arguments().get(name)
    if text is None:
        return default
    value = integer(text)
    if value is None or not 1 <= value <= maximum:
        raise BadRequest(f"{name}: use an integer from 1 to {maximum}.")
    return value
