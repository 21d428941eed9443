"""The cause and the remedy of each error and close code.

`python -m tornado_app.api.remedies` writes the tables of docs/troubleshooting.md; a test fails for an error without a
row here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tornado_app.api.openapi.document import SOCKET_REFUSALS
from tornado_app.api.websocket.connections import GOING_AWAY
from tornado_app.api.websocket.protocol import TOO_BIG
from tornado_app.core import errors as core
from tornado_app.core.errors import LeaderboardError
from tornado_app.http import errors
from tornado_app.http.messages import MethodNotAllowed, NotFound

ABNORMAL = 1006
BEGIN, END = "<!-- generated: python -m tornado_app.api.remedies -->", "<!-- end of what is generated -->"


class Remedy(NamedTuple):
    """Cause and remedy: one or two sentences of Markdown each."""

    cause: str
    remedy: str


REMEDIES: dict[type[LeaderboardError], Remedy] = {
    core.InvalidJson: Remedy(
        "The body is not one JSON value in UTF-8, or has a duplicate field.",
        "The message has the position. Check whether the body is truncated or encoded twice.",
    ),
    core.InvalidBody: Remedy(
        "The body is JSON with a missing field or a wrong value.",
        "The message names the field and what it must be; `/docs` shows each body.",
    ),
    core.InvalidIncrement: Remedy(
        "The points are not an integer of 1 or more, exceed `max_increment` without an action proof, or the new score "
        "would exceed an int64.",
        "Send an action proof, or raise `max_increment`. The reason says which of the three it is.",
    ),
    core.OutOfBounds: Remedy(
        "The submitted value is outside `bounds` of the board in `boards_file`.",
        "The message has the bounds. Correct the client, or the bounds: a score out of them may be a cheat.",
    ),
    core.WrongRule: Remedy(
        "The board's `rule` in `boards_file` is `best` or `last`, and the request has points; or it is `sum`, and the "
        "request has a score.",
        "Send scores with API F, `POST /api/v1/scores`; points only to a board of the rule `sum`.",
    ),
    core.UnknownActionType: Remedy(
        "`actions_file` has no row for the action type.",
        "Add it to `actions_file`, or correct the client.",
    ),
    errors.BadRequest: Remedy(
        "The request is not valid HTTP, or a header or query parameter is invalid or unknown.",
        "The message names the header or the parameter.",
    ),
    core.MissingToken: Remedy(
        "The request has no header `Authorization: Bearer …`.",
        "Check that the client sends it and that no proxy removes it.",
    ),
    core.InvalidToken: Remedy(
        "The token is malformed, has a wrong signature, or was not issued for this service.",
        "Read the reason in the log, or run `leaderboard token --check`.",
    ),
    core.ExpiredToken: Remedy(
        "The token's `exp` has passed.",
        "The client must get a new token. If tokens are new, compare the clocks; `jwt_leeway` allows a difference.",
    ),
    core.UserMismatch: Remedy(
        "The user id of the request differs from the token's.",
        "Send the token's own user id, or use a game server's token with the scope `scores:write`.",
    ),
    core.InsufficientScope: Remedy(
        "The token lacks the required scope. The detail in the log has its scopes and the required one.",
        "Issue a token with the scope, or name your provider's claim and scopes in `jwt_scope_claims`, "
        "`jwt_write_scopes` and `jwt_admin_scopes`.",
    ),
    core.ActionProofRequired: Remedy(
        "`action_proof` is `required`, and a request with a player's token has no proof.",
        "Have the game server sign each action ([signing](signing.md)), or send updates from the game server.",
    ),
    core.InvalidActionProof: Remedy(
        "The proof is malformed, has a wrong signature, or is for another player, board, action or number of points.",
        "Read the reason in the log, or run `leaderboard sign-action --check`.",
    ),
    core.ExpiredActionProof: Remedy(
        "The proof's `exp` has passed.",
        "Send a proof immediately after signing; compare the game server's clock; see `proof_lifetime`.",
    ),
    core.SuspiciousActivity: Remedy(
        "The player's points in the window would exceed `max_points_per_window`.",
        "Check the player's history. If players can earn that many points, raise the setting.",
    ),
    core.PlayerSuspended: Remedy(
        "A moderator or, with `auto_suspend`, an abuse rule suspended the player.",
        "`GET /api/v1/players/{user_id}/history` has the reason; a moderator can reinstate the player.",
    ),
    core.CaptchaRequired: Remedy(
        "`captcha_url` is set, and the request has neither an action proof nor a solved captcha.",
        "Send the captcha's token in the header `Captcha-Token`.",
    ),
    core.InvalidCaptcha: Remedy(
        "The captcha service did not accept the token, which is valid once.",
        "Show a new captcha. If every request fails, compare `captcha_secret` with the site key of the page.",
    ),
    errors.OriginNotAllowed: Remedy(
        "The page is from an origin that is not in `allowed_origins`.",
        "Add the origin, as the detail in the log has it, or a pattern for it.",
    ),
    core.BoardNotFound: Remedy(
        "The path is behind `/boards/{board}`, and `boards_file` does not have that board.",
        "Compare the name with `GET /api/v1/boards`, or add the board to `boards_file`. It is served a few "
        "seconds after the file changed; if not, the log says why.",
    ),
    core.PeriodNotFound: Remedy(
        "The board has no period of this name in `boards_file`, the period has no such epoch, or its result was "
        "removed because newer ones are kept (`keep`).",
        "Compare the name with `GET /api/v1/periods` of the board. A period that was added is served a few seconds "
        "after the file changed.",
    ),
    core.ResultNotFinal: Remedy(
        "The epoch is not over, or it is closing: ten seconds and the period's `review` follow its end.",
        "Wait until `GET /api/v1/periods/{period}/{epoch}` says `sealed`. If it stays `closing`, see the log of the "
        "process with the lease `periods`.",
    ),
    core.ResultFinal: Remedy(
        "The epoch is sealed, or its result is being made: ten seconds and the period's `review` after its end.",
        "Give the period a `review`, in which moderators can still disqualify players.",
    ),
    core.PlayerNotFound: Remedy(
        "The player does not exist, or is hidden.",
        "Create the player by `PUT`, score through API A, C, D or F, or set `auto_register`.",
    ),
    core.ActionNotFound: Remedy(
        "The player has no such action, or it was already taken back, or it was folded after `ledger_retention`.",
        "Search for the action in the player's history. Give a `since` after the time in the message.",
    ),
    NotFound: Remedy("The path does not exist.", "Compare the path with `/docs`; a proxy may rewrite it."),
    MethodNotAllowed: Remedy("The path exists, but not with this method.", "Use a method of the header `Allow`."),
    core.ActionConflict: Remedy(
        "The action id was already used for a different request.",
        "Use a new id for each action, and retry an action with the same id and body.",
    ),
    errors.BodyTooLarge: Remedy("The body exceeds the limit.", "The detail in the log has the size and the limit."),
    errors.UnsupportedMediaType: Remedy(
        "The body is not declared as `application/json` in UTF-8, or is compressed.",
        "Set `Content-Type: application/json`, and no `Content-Encoding`.",
    ),
    errors.HostNotAllowed: Remedy(
        "The request is for a host name that is not in `allowed_hosts`.",
        "Add the name that clients use; the detail in the log has it.",
    ),
    errors.UpgradeRequired: Remedy(
        "A request for the path of a WebSocket has no WebSocket handshake.",
        "Configure the proxy to forward `Upgrade` and `Connection`, over HTTP/1.1.",
    ),
    core.RateLimited: Remedy(
        "The player reached the limit of updates or profile changes in the window, or the address has sent too many "
        "invalid credentials.",
        "Wait for `Retry-After`. Limits: `rate_limit`, `auth_failure_limit`.",
    ),
    core.TooManyConnections: Remedy(
        "The address has `max_connections_per_address` open sockets, or the process `max_connections`.",
        "If all clients have the same address, set `trusted_proxies`. Otherwise raise the limit or add replicas.",
    ),
    errors.HeadersTooLarge: Remedy(
        "The request's target and headers exceed the limit.",
        "The detail in the log has the size and the limit. Check for cookies, and for a token with very many roles.",
    ),
    core.DatabaseError: Remedy(
        "MongoDB did not answer in time, or returned an error.",
        "Retry the request with the same id. Check the database; the previous log line has the error.",
    ),
    LeaderboardError: Remedy("A defect of the service.", "The log line `request failed` has the traceback. Report it."),
    core.CaptchaUnavailable: Remedy(
        "The captcha service did not answer, or not as expected.",
        "Check that pods can reach `captcha_url`.",
    ),
    core.Overloaded: Remedy(
        "More updates are queued than can be done in time.",
        "Retry after `Retry-After`. If it lasts, check MongoDB's latency and `max_pending_writes`, or add replicas.",
    ),
    core.ShuttingDown: Remedy("The process is draining.", "Retry; another process answers."),
}

CLOSES: dict[int, tuple[str, Remedy]] = {
    GOING_AWAY: ("going away", Remedy("The process restarts.", "Connect again after a random delay.")),
    ABNORMAL: (
        "",
        Remedy(
            "The connection ended without a close frame: the network, a proxy's timeout, or a client that does not "
            "read (event `eviction`).",
            "Connect again. If it happens regularly, set the proxy's read timeout above `ping_interval`.",
        ),
    ),
    TOO_BIG: ("", Remedy("The client sent a message above the limit.", "Send only the message `authenticate`.")),
    errors.TRY_AGAIN_LATER: (
        "a code of 5xx",
        Remedy("The service is overloaded or has failed.", "Connect again later."),
    ),
}


def tables() -> str:
    """Both tables, as Markdown."""
    return "\n".join([*_errors(), "", "### Close codes", "", *_closes()])


def _errors() -> Iterator[str]:
    yield "| Status | `error` | Socket | Cause | Remedy |"
    yield "|---|---|---|---|---|"
    for kind in sorted(REMEDIES, key=lambda kind: (errors.status(kind()), kind.code)):
        close = errors.close_code(kind()) if kind in SOCKET_REFUSALS else ""
        cause, remedy = REMEDIES[kind]
        yield f"| {errors.status(kind())} | `{kind.code}` | {close} | {cause} | {remedy} |"


def _closes() -> Iterator[str]:
    yield "| Code | Reason | Cause | Remedy |"
    yield "|---|---|---|---|"
    for code, (reason, (cause, remedy)) in sorted(CLOSES.items()):
        yield f"| {code} | {reason} | {cause} | {remedy} |"
    codes = {errors.close_code(kind()) for kind in SOCKET_REFUSALS}
    for code in sorted(codes):
        reasons = ", ".join(f"`{kind.code}`" for kind in SOCKET_REFUSALS if errors.close_code(kind()) == code)
        yield f"| {code} | {reasons} | as above | as above |"


def rewritten(text: str) -> str:
    """The document with its generated part as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/troubleshooting.md")
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
