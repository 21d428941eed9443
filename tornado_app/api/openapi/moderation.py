"""Moderation's requests, for the description of the API."""

from __future__ import annotations

from typing import Any

from tornado_app.api.openapi.operations import ANY, BODY, CREDENTIALS, VERSION, Errors, Operation, Outcome
from tornado_app.api.rest.moderation import Export, ModerationRequest, State, TakeBack
from tornado_app.core.errors import ActionNotFound, DatabaseError, InsufficientScope, PlayerNotFound

TAG = "Moderation"

_BASE = "/api/v1/admin/players/{user_id}"
_ERRORS: Errors = (*ANY, *CREDENTIALS, InsufficientScope, PlayerNotFound, DatabaseError)
_KEPT = ("Cache-Control",)


def _moderation(method: str, verb: str, summary: str, outcome: tuple[int, Outcome], **more: Any) -> Operation:
    return Operation(
        method=method,
        path=f"{_BASE}/{verb}",
        tag=TAG,
        summary=summary,
        outcomes=dict([outcome]),
        errors=(*_ERRORS, *more.pop("errors", ())),
        token="required",  # noqa: S106  # no secret: who must show one
        parameters=("user_id",),
        **more,
    )


_DONE = 200, Outcome("How the player stands now.", State, (*_KEPT, VERSION))
_GONE = 204, Outcome("Forgotten.", None, (*_KEPT, VERSION))

MODERATION = (
    _moderation("POST", "suspend", "Stop a player from scoring", _DONE, body=ModerationRequest, errors=BODY),
    _moderation("POST", "reinstate", "Let a suspended player score again", _DONE, body=ModerationRequest, errors=BODY),
    _moderation(
        "POST", "hide", "Take a player off the board, who can score on", _DONE, body=ModerationRequest, errors=BODY
    ),
    _moderation("POST", "show", "Put a hidden player on the board again", _DONE, body=ModerationRequest, errors=BODY),
    _moderation(
        "POST",
        "take-back",
        "Take back one action, or all since a time",
        _DONE,
        body=TakeBack,
        errors=(*BODY, ActionNotFound),
    ),
    _moderation(
        "GET",
        "export",
        "All that is stored of a player, for moderators and for the player",
        (200, Outcome("In JSON, as it is stored.", Export, _KEPT)),
    ),
    _moderation("POST", "erase", "Forget a player", _GONE, body=ModerationRequest, errors=BODY),
)
