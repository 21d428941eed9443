"""Every refusal is a class with a stable `code`; the API chooses its status or close code.

`message` is a sentence for a person and never contains internals. Source: the API contract, section 5.
"""

from __future__ import annotations

from typing import ClassVar

from tornado_app.core.model import RateLimitState


class LeaderboardError(Exception):
    """Base of all refusals and expected failures.

    `rate_limit_state` is the player's rate-limit state if the store returned it, `retry_after` the seconds after which
    a retry can succeed. `reason` and `detail` are for the log and the audit line, not for the client: a stable
    snake_case word for the cause (default: `code`), and the values that differ (had and wanted; default: the message),
    never a secret.
    """

    code: ClassVar[str] = "internal_error"
    message: ClassVar[str] = "The service failed to process the request. Try again."

    def __init__(
        self,
        message: str | None = None,
        *,
        rate_limit_state: RateLimitState | None = None,
        retry_after: float | None = None,
        reason: str | None = None,
        detail: str = "",
    ) -> None:
        self.text = message or self.message
        self.rate_limit_state = rate_limit_state
        self.retry_after = retry_after
        self.reason = reason or self.code
        self.detail = detail or self.text
        super().__init__(self.text)


class InvalidJson(LeaderboardError):
    """The body is not one JSON value in UTF-8, or has a duplicate member."""

    code = "invalid_json"
    message = "The request body is not valid JSON."


class InvalidBody(LeaderboardError):
    """The body is JSON of the wrong shape; the message names the field."""

    code = "invalid_body"
    message = "The request body does not match its schema."


class InvalidIncrement(LeaderboardError):
    """Points that are not an integer of 1 or more, or would overflow the score."""

    code = "invalid_increment"
    message = "The points must be an integer of 1 or more."


class OutOfBounds(LeaderboardError):
    """The submitted value is outside the board's bounds."""

    code = "out_of_bounds"
    message = "The value is outside the bounds of the board."


class WrongRule(LeaderboardError):
    """Points for a board that keeps a submitted score, or a score for a board that adds points."""

    code = "wrong_rule"
    message = "The board has another rule. Send a score to a board of the rule best or last, points to one of rule sum."


class UnknownActionType(LeaderboardError):
    """The action's type is not in the actions table."""

    code = "unknown_action_type"
    message = "Unknown action type: it is not in the service's actions table."


class Unauthenticated(LeaderboardError):
    """Base of the refusals that require (other) credentials."""


class MissingToken(Unauthenticated):
    """No bearer token where one is required."""

    code = "missing_token"
    message = "A bearer token is required in the Authorization header."


class InvalidToken(Unauthenticated):
    """The token is malformed, has a wrong signature, or was not issued for this service."""

    code = "invalid_token"
    message = "The token is invalid."


class ExpiredToken(Unauthenticated):
    """The token has expired."""

    code = "expired_token"
    message = "The token has expired."


class Forbidden(LeaderboardError):
    """Base of the refusals that other credentials of the same caller would not change."""


class UserMismatch(Forbidden):
    """The body names a player that the token is not for."""

    code = "user_mismatch"
    message = (
        "The token belongs to another player. Send the token's own user id, or use a token with the scope scores:write."
    )


class InsufficientScope(Forbidden):
    """The token lacks a scope."""

    code = "insufficient_scope"
    message = "The token lacks the required scope."


class ActionProofRequired(Forbidden):
    """A player's own token does not prove the action."""

    code = "action_proof_required"
    message = "This update requires an action proof from the game server, in the header Action-Proof."


class InvalidActionProof(Forbidden):
    """The proof is malformed, has a wrong signature, or is for another player, board, action or number of points."""

    code = "invalid_action_proof"
    message = "The action proof is invalid."


class ExpiredActionProof(Forbidden):
    """The proof has expired."""

    code = "expired_action_proof"
    message = "The action proof has expired."


class SuspiciousActivity(Forbidden):
    """The player's points in the window would exceed the maximum."""

    code = "suspicious_activity"
    message = "The player earned too many points in a short time."


class PlayerSuspended(Forbidden):
    """The player may not score until reinstated."""

    code = "player_suspended"
    message = "The player is suspended. Score updates are refused until a moderator reinstates the player."


class CaptchaRequired(Forbidden):
    """A submission without an action proof requires a solved captcha."""

    code = "captcha_required"
    message = "A solved captcha is required: send its token in the header Captcha-Token."


class InvalidCaptcha(Forbidden):
    """The captcha was not solved, or its token was used before."""

    code = "invalid_captcha"
    message = "The captcha was not accepted. Solve a new one."


class CaptchaUnavailable(LeaderboardError):
    """The captcha service does not answer."""

    code = "captcha_unavailable"
    message = "The captcha service is not available. Try again in a moment."


class BoardNotFound(LeaderboardError):
    """The path names a board that is not served."""

    code = "board_not_found"
    message = "There is no such board. GET /api/v1/boards lists the boards."


class PeriodNotFound(LeaderboardError):
    """The board has no period of this name, or the period no such epoch."""

    code = "period_not_found"
    message = "The board has no such period. GET /api/v1/periods lists its periods."
    no_epoch = "The period has no such epoch. GET /api/v1/periods has the open epoch, and the one before."


class ResultNotFinal(LeaderboardError):
    """The epoch is not over, or its result is not final yet."""

    code = "result_not_final"
    message = "The result of this epoch is not final yet. The board in an open epoch is at ?period= with the period."


class ResultFinal(LeaderboardError):
    """The result of an epoch is final or being made, so that moderation does not change it any more."""

    code = "result_final"
    message = (
        "The result of this epoch is final, and does not change any more. An erasure of the player removes the row."
    )


class PlayerNotFound(LeaderboardError):
    """The player does not exist."""

    code = "player_not_found"
    message = (
        "Player not found. PUT /api/v1/players/{user_id} creates a player, and so does a score update through "
        "POST /api/score, /api/scores/update, /api/actions or /api/v1/scores. With the setting auto_register, every "
        "score update does."
    )


class ActionNotFound(LeaderboardError):
    """The player has no such action, or it was taken back."""

    code = "action_not_found"
    message = "Action not found, or already taken back."


class ActionConflict(LeaderboardError):
    """The action's id was used before, for a different request."""

    code = "action_conflict"
    message = "This action id was already used for a different request. Use a new id for each action."


class RateLimited(LeaderboardError):
    """The player has used up the window's updates; `retry_after`: seconds until the next one."""

    code = "rate_limited"
    message = "Too many score updates. Try again later."


class TooManyConnections(LeaderboardError):
    """The client's address, or the process, has reached its maximum of sockets."""

    code = "too_many_connections"
    message = "Too many connections from this address. Close some of them."


class DatabaseError(LeaderboardError):
    """The database did not answer in time; a write with an id is safe to repeat."""

    code = "database_error"
    message = "The database did not answer in time. Try again."


class Overloaded(LeaderboardError):
    """More work is waiting than can be done in time."""

    code = "overloaded"
    message = "The service is overloaded. Try again in a moment."


class ShuttingDown(LeaderboardError):
    """This process is stopping and accepts no new work."""

    code = "shutting_down"
    message = "The service is shutting down. Try again."


class ConfigError(Exception):
    """Invalid settings; `faults` has one sentence for each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


class StartupError(Exception):
    """The service cannot start; the message names the problem and the remedy."""
