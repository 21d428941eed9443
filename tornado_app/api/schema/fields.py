"""The types of the members of requests, responses and messages: limits, and descriptions for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from tornado_app.core.identity import MAX_AVATAR_URL, MAX_TOKEN, MAX_USERNAME, USER_ID
from tornado_app.core.model import MAX_SCORE

WHOLE = r"(?!\n)"
"""Ends a pattern: Python's `$` also matches before a last line break, where JSON Schema's does not."""

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
Time = Annotated[
    str,
    Meta(
        description="RFC 3339 in UTC, with milliseconds.",
        extra_json_schema={"format": "date-time"},
    ),
]
Version = Annotated[int, Meta(description="Version of the board. A message with a smaller version is older.")]
