"""The members of bodies, answers and messages: bounds for what comes in, and what the OpenAPI document says of each."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from tornado_app.core.identity import MAX_AVATAR_URL, MAX_TOKEN, MAX_USERNAME, USER_ID
from tornado_app.core.model import MAX_SCORE

WHOLE = r"(?!\n)"
"""Ends a pattern: Python's `$` also matches before a last line break, where JSON Schema's does not."""

ACTION_ID = r"^[\x21-\x7e]{1,128}$"

# -- what comes in ------------------------------------------------------------------------------------

Points = Annotated[int, Meta(ge=1, le=MAX_SCORE, description="Points to add.", examples=[5])]
UserId = Annotated[
    str,
    Meta(
        pattern=USER_ID + WHOLE,
        description="The player's user id: the token's own, or with the scope `scores:write` any.",
        examples=["alice"],
    ),
]
OptionalUserId = Annotated[UserId | None, Meta(description="The player; without it, the token's own.")]
ActionId = Annotated[str, Meta(pattern=ACTION_ID + WHOLE, description="Makes the action count once.", examples=["a-1"])]
ActionType = Annotated[
    str,
    Meta(
        min_length=1, max_length=64, description="A row of the server's actions table.", examples=["level_complete"]
    ),
]  # fmt: skip
OptionalProof = Annotated[
    Annotated[str, Meta(max_length=MAX_TOKEN)] | None,
    Meta(description="The game server's action proof, where it does not come in the header Action-Proof."),
]
NewName = Annotated[
    Annotated[str, Meta(min_length=1, max_length=4 * MAX_USERNAME)] | None,
    Meta(
        description=f"1 to {MAX_USERNAME} characters, one visible at least, no control characters. It wins over the "
        "token's name; null shows the id instead.",
        examples=["Zoë"],
    ),
]
NewAvatarUrl = Annotated[
    Annotated[str, Meta(max_length=MAX_AVATAR_URL)] | None,
    Meta(
        description="An absolute http or https URL of a picture. It wins over the token's; null shows none.",
        examples=["https://game.example/zoe.png"],
    ),
]

# -- what goes out ------------------------------------------------------------------------------------

PlayerId = Annotated[str, Meta(description="The player.", examples=["alice"])]
Name = Annotated[str, Meta(description="What to show, in any script; the id where no name is known.", examples=["Zoë"])]
AvatarUrl = Annotated[str, Meta(description="A picture's URL.", examples=["https://game.example/zoe.png"])]
Score = Annotated[int, Meta(description="All points together: an int64, more than a double can hold.", examples=[42])]
Rank = Annotated[int, Meta(ge=1, description="Standard competition rank: 1, 2, 2, 4.", examples=[1])]
Time = Annotated[
    str,
    Meta(
        description="RFC 3339, in UTC with milliseconds.",
        examples=["2026-01-02T03:04:05.678Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Version = Annotated[
    int, Meta(description="Grows with the board: a message with a smaller one is stale.", examples=[7301452811264001])
]
