"""The members of requests, responses and messages, the examples of the API's description, and the decoding of bodies.

Types of members have limits, and descriptions for the OpenAPI document. A test replays the examples on a service and
compares the responses.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tornado_app.core.boards import MAX_SUBMITTED
from tornado_app.core.errors import InvalidBody, InvalidIncrement, InvalidJson
from tornado_app.core.identity import MAX_AVATAR_URL, MAX_TOKEN, MAX_USERNAME, USER_ID, USER_ID_FORM, is_action_id
from tornado_app.core.model import MAX_SCORE, Placement, Player, Standing, TopPlayers, rfc3339
from tornado_app.core.text import strict_json_decoder, with_plain_integers
from tornado_app.core.versions import from_board_version
from tornado_app.http.errors import BadRequest, UnsupportedMediaType
from tornado_app.http.messages import Request
from tornado_app.http.request_log import clip

WHOLE = r"(?!\n)"
"""Ends a pattern: Python's `$` also matches before a last line break, where JSON Schema's does not."""

MAX_METADATA = 512
"""Bytes of a score's metadata, as JSON without spaces."""

ACTION_ID = r"^[\x21-\x7e]{1,128}$"

# -- requests ------------------------------------------------------------------------------------------

Points = Annotated[int, Meta(ge=1, le=MAX_SCORE, description="Points to add.")]
UserId = Annotated[
    str,
    Meta(
        pattern=USER_ID + WHOLE,
        description="The player's user id: that of the token, or any with the scope `scores:write`.",
    ),
]
OptionalUserId = Annotated[UserId | None, Meta(description="The player's user id. Default: that of the token.")]
ActionId = Annotated[str, Meta(pattern=ACTION_ID + WHOLE, description="Makes the action count once.")]
ActionType = Annotated[
    str,
    Meta(min_length=1, max_length=64, description="An action type of the service's actions table."),
]
OptionalProof = Annotated[
    Annotated[str, Meta(max_length=MAX_TOKEN)] | None,
    Meta(description="The game server's action proof, if it is not in the header Action-Proof."),
]
NewName = Annotated[
    Annotated[str, Meta(min_length=1, max_length=4 * MAX_USERNAME)] | None,
    Meta(
        description=f"1 to {MAX_USERNAME} characters, at least one visible, no control characters. It overrides the "
        "token's name; null shows the user id.",
    ),
]
NewAvatarUrl = Annotated[
    Annotated[str, Meta(max_length=MAX_AVATAR_URL)] | None,
    Meta(
        description="An absolute http or https URL of a picture. It overrides the token's; null shows no picture.",
    ),
]

# -- responses ----------------------------------------------------------------------------------------

PlayerId = Annotated[str, Meta(description="The player's user id.")]
Name = Annotated[str, Meta(description="Name to display, in any script; the user id if no name is known.")]
AvatarUrl = Annotated[str, Meta(description="URL of the player's picture.")]
Score = Annotated[int, Meta(description="Total score (int64; can exceed 2^53).")]
Rank = Annotated[int, Meta(ge=1, description="Competition rank: 1, 2, 2, 4.")]
Total = Annotated[int, Meta(description="Number of players on the board.")]
Percentile = Annotated[
    float,
    Meta(ge=0, le=100, description="Percentage of the players who are not ahead, with two decimals; 100 is rank 1."),
]
Time = Annotated[
    str,
    Meta(
        description="RFC 3339 in UTC, with milliseconds.",
        extra_json_schema={"format": "date-time"},
    ),
]
Version = Annotated[int, Meta(description="Version of the board. A message with a smaller version is older.")]


Metadata = Annotated[
    dict[str, Any],
    Meta(
        description=f"A JSON object of up to {MAX_METADATA} bytes that came with the score, such as a character or a "
        "level; only if there is one."
    ),
]


class NextRank(msgspec.Struct):
    """The score of the next better rank, and the points that are missing to it."""

    score: Score
    points: Annotated[int, Meta(ge=1, description="Points that are missing to that score: the difference.")]


def metadata_of(player: Player) -> dict[str, Any] | UnsetType:
    """The metadata of a row; UNSET without one, or if another program wrote it."""
    if player.metadata is None:
        return UNSET
    try:
        return _METADATA.decode(player.metadata)
    except (msgspec.DecodeError, RecursionError):
        return UNSET


_METADATA = msgspec.json.Decoder(dict[str, Any])


def next_rank(placement: Placement) -> NextRank | None:
    """None for the first rank."""
    score = placement.next_score
    return None if score is None else NextRank(score, abs(score - placement.standing.player.score))


# -- examples -----------------------------------------------------------------------------------------

MOMENT = 1_767_323_045_678
TIME = rfc3339(MOMENT)

ALICE = Standing(1, Player("alice", 171, MOMENT, "Alice", "https://game.example/alice.png"))
ZOE = Standing(2, Player("zoe", 5, MOMENT, "Zoë"))
FIRST = Placement(ALICE, 2, None)
SECOND = Placement(ZOE, 2, 171)
BOARD_VERSION = 3_706_345_058_467_841
BOARD = TopPlayers(from_board_version(BOARD_VERSION), (ALICE, ZOE))

# -- decoding -----------------------------------------------------------------------------------------

T = TypeVar("T")

_PLACE = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_NO_NUMBER = re.compile(r"Expected .*, got `(?!float)")
_FLOAT = "got `float`"
_FORMS = {
    repr(USER_ID + WHOLE): f"use {USER_ID_FORM}",
    repr(ACTION_ID + WHOLE): "use 1 to 128 visible ASCII characters",
    "Number out of range": f"a number is beyond ±{sys.float_info.max:.1e}",
}
"""Error texts instead of those of msgspec, by a part of these."""


class Decoder(Generic[T]):
    """Decodes JSON bodies to `kind`. `points`: the member for which a wrong number is InvalidIncrement.

    `score`: the member that is a score of ±`MAX_SUBMITTED`.
    """

    def __init__(
        self, kind: type[T], *, points: str | None = None, score: str | None = None, optional: bool = False
    ) -> None:
        self._decode = msgspec.json.Decoder(kind).decode
        self._points = points
        self._score = score
        self._optional = optional

    def __call__(self, request: Request) -> T:
        """The request's body. Raises InvalidJson, InvalidBody, InvalidIncrement or UnsupportedMediaType."""
        body = request.body.removeprefix(codecs.BOM_UTF8)
        if not body and self._optional:
            return self._decode(b"{}")
        _check_media_type(request)
        try:
            text = body.decode()
            _SYNTAX.decode(text)  # all of it, as msgspec does not check unknown members
            return self._value(text)
        except msgspec.ValidationError as error:
            raise self._wrong_shape(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise InvalidJson(f"The request body is not valid JSON: {_cause(error)}.") from None
        except RecursionError:
            raise InvalidJson("The request body is nested too deeply.") from None

    def _value(self, text: str) -> T:
        """A JSON text as `kind`; `5.0` is an integer, unlike in msgspec. Raises msgspec.ValidationError."""
        try:
            return self._decode(text)
        except msgspec.ValidationError as error:
            if _FLOAT not in str(error):
                raise
            return self._decode(with_plain_integers(text))

    def _wrong_shape(self, text: str) -> InvalidBody | InvalidIncrement:
        match = _PLACE.fullmatch(text)
        reason, field = (match[1], match[2]) if match else (text, None)
        reason = next((words for pattern, words in _FORMS.items() if pattern in reason), reason.replace("`", "'"))
        sentence = f"{field}: {reason}." if field else f"{reason}."
        if field is not None and not _NO_NUMBER.match(text):
            if field == self._points:
                return InvalidIncrement(f"{field}: must be an integer from 1 to {MAX_SCORE}.")
            if field == self._score:
                return InvalidBody(f"{field}: must be an integer from {-MAX_SUBMITTED} to {MAX_SUBMITTED}.")
        return InvalidBody(sentence)


def _cause(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


_SYNTAX = strict_json_decoder(
    parse_int=len,  # msgspec checks the value of a number; Python's own parser refuses 4300 digits and more
    parse_float=len,
)


def _check_media_type(request: Request) -> None:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaType(
            "Content-Encoding is not supported. Send the body without it.",
            reason="content_encoding",
            detail=f"Content-Encoding {clip(request.headers.get('Content-Encoding', ''))}",
        )
    given = request.headers.get("Content-Type")
    if given is None or given == "application/json":
        return
    kind, *parameters = [part.strip().lower() for part in given.split(";")]
    charset = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    if kind != "application/json" or any(c not in ("utf-8", "utf8") for c in charset):
        raise UnsupportedMediaType(
            f"Send the body as application/json in UTF-8, not as {clip(given)}.", detail=f"Content-Type {clip(given)}"
        )


def idempotency_key(request: Request) -> str | None:
    """The header Idempotency-Key. Raises BadRequest if it is not a valid action id."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not is_action_id(key):
        raise BadRequest("Idempotency-Key: use 1 to 128 visible ASCII characters.")
    return key
