"""What each error and each close code means for whoever gets it, and what to do about it.

`python -m tornado_app.api.remedies` writes the tables of docs/troubleshooting.md; a test fails for an error without a
row here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tornado_app.api.openapi.sockets import REFUSALS
from tornado_app.api.websocket.connections import GOING_AWAY
from tornado_app.api.websocket.protocol import TOO_BIG
from tornado_app.core import errors as core
from tornado_app.core.errors import LeaderboardError
from tornado_app.http import errors
from tornado_app.http.messages import MethodNotAllowed, NotFound

ABNORMAL = 1006
BEGIN, END = "<!-- generated: python -m tornado_app.api.remedies -->", "<!-- end of what is generated -->"


class Remedy(NamedTuple):
    """Why it happens, and what to do. Markdown, one sentence or two each."""

    cause: str
    remedy: str


REMEDIES: dict[type[LeaderboardError], Remedy] = {
    core.InvalidJson: Remedy(
        "The body is not one JSON value in UTF-8, or names a member twice.",
        "Read the message for the place. Look for a body that is cut off or encoded twice.",
    ),
    core.InvalidBody: Remedy(
        "The body is JSON of the wrong shape.",
        "The message names the member and what it must be; `/docs` shows each body.",
    ),
    core.InvalidIncrement: Remedy(
        "The points are not an integer of 1 or more, are above `max_increment` without an action proof, or would make "
        "the score larger than an int64.",
        "Send an action proof, or raise `max_increment`. The reason says which of the three it is.",
    ),
    core.UnknownActionType: Remedy(
        "`actions_file` has no row for the action type.",
        "Add it to `actions_file`, or correct the client.",
    ),
    errors.BadRequest: Remedy(
        "The request is not HTTP, or a header or a query argument has no meaning here.",
        "The message names the header or the argument.",
    ),
    core.MissingToken: Remedy(
        "The request has no header `Authorization: Bearer …`.",
        "Check that the client sends it and that no proxy removes it.",
    ),
    core.InvalidToken: Remedy(
        "The token is malformed, has the wrong signature, or was not issued for this service.",
        "Read the reason in the log, or run `leaderboard token --check`.",
    ),
    core.ExpiredToken: Remedy(
        "The token's `exp` has passed.",
        "Have the client renew it. If the tokens are new, compare the clocks; `jwt_leeway` allows a difference.",
    ),
    core.UserMismatch: Remedy(
        "The request names another player than the token.",
        "Send the token's own user id, or use a game server's token with the scope `scores:write`.",
    ),
    core.InsufficientScope: Remedy(
        "The token has not the scope that this needs; the detail has both.",
        "Issue a token with the scope, or name your provider's claim and scope in `jwt_scope_claims`, "
        "`jwt_write_scopes` and `jwt_admin_scopes`.",
    ),
    core.ActionProofRequired: Remedy(
        "`action_proof` is `required`, and a player's own token came without a proof.",
        "Have the game server sign each action ([signing](signing.md)), or send updates from the game server.",
    ),
    core.InvalidActionProof: Remedy(
        "The proof is malformed, has the wrong signature, or is for another player, action or number of points.",
        "Read the reason in the log, or run `leaderboard sign-action --check`.",
    ),
    core.ExpiredActionProof: Remedy(
        "The proof's `exp` has passed.",
        "Send a proof at once after it is signed; compare the game server's clock; see `proof_lifetime`.",
    ),
    core.SuspiciousActivity: Remedy(
        "The player's points in the window would pass `max_points_per_window`.",
        "Look at the player's history. If players can earn as much, raise the setting.",
    ),
    core.PlayerSuspended: Remedy(
        "A moderator or, with `auto_suspend`, a rule of suspicion suspended the player.",
        "`GET /api/v1/players/{user_id}/history` has the reason; a moderator may reinstate the player.",
    ),
    core.CaptchaRequired: Remedy(
        "`captcha_url` is set, and neither an action proof nor a solved captcha came along.",
        "Send the captcha's token in the header `Captcha-Token`.",
    ),
    core.InvalidCaptcha: Remedy(
        "The captcha service did not accept the token, which is good once.",
        "Show a new captcha. If it happens to all, compare `captcha_secret` with the site key of the page.",
    ),
    errors.OriginNotAllowed: Remedy(
        "The page is from an origin that is not in `allowed_origins`.",
        "Add the origin, as the detail writes it, or a pattern for it.",
    ),
    core.PlayerNotFound: Remedy(
        "There is no such player, or the player is hidden.",
        "Create the player by `PUT`, score through API A, C or D, or set `auto_register`.",
    ),
    core.ActionNotFound: Remedy(
        "The player has no such action, or it was taken back before.",
        "Look for the action in the player's history.",
    ),
    NotFound: Remedy("Nothing is served at this path.", "Compare the path with `/docs`; a proxy may rewrite it."),
    MethodNotAllowed: Remedy("The path is there, the method is not.", "Use a method of the header `Allow`."),
    core.ActionConflict: Remedy(
        "The action's id was used before, for another request.",
        "Make a new id for each action, and repeat an action with its own id and body only.",
    ),
    errors.BodyTooLarge: Remedy("The body is larger than any request needs.", "The detail has the size and the limit."),
    errors.UnsupportedMediaType: Remedy(
        "The body is not announced as `application/json` in UTF-8, or is compressed.",
        "Set `Content-Type: application/json`, and no `Content-Encoding`.",
    ),
    errors.HostNotAllowed: Remedy(
        "The request is for a host name that is not in `allowed_hosts`.",
        "Add the name that clients use; the detail has it.",
    ),
    errors.UpgradeRequired: Remedy(
        "A WebSocket's path was asked for without a WebSocket handshake.",
        "Have the proxy pass on `Upgrade` and `Connection`, over HTTP/1.1.",
    ),
    core.RateLimited: Remedy(
        "The player has used up the updates or profile changes of the window, or the address has sent too many bad "
        "credentials.",
        "Wait for `Retry-After`. Limits: `rate_limit`, `auth_failure_limit`.",
    ),
    core.TooManyConnections: Remedy(
        "The address has `max_connections_per_address` sockets open, or the process `max_connections`.",
        "If all clients have one address, set `trusted_proxies`. Otherwise raise the limit or add replicas.",
    ),
    errors.HeadersTooLarge: Remedy(
        "The request's target and headers are larger than any request needs.",
        "The detail has the size and the limit. Look for cookies, and for a token with very many roles.",
    ),
    core.DatabaseError: Remedy(
        "MongoDB did not answer in time, or refused.",
        "Repeat the request with the same id. Look at the database; the line before this one has the error.",
    ),
    LeaderboardError: Remedy("A fault of the service.", "The line `request failed` has the traceback: report it."),
    core.CaptchaUnavailable: Remedy(
        "The captcha service did not answer as it should.",
        "Check that pods may reach `captcha_url`.",
    ),
    core.Overloaded: Remedy(
        "More work waits than can be done in time.",
        "Repeat after `Retry-After`. If it lasts: the database's latency, `max_pending_writes`, more replicas.",
    ),
    core.ShuttingDown: Remedy("The process is draining.", "Connect again: another process serves."),
}

CLOSES: dict[int, tuple[str, Remedy]] = {
    GOING_AWAY: ("going away", Remedy("The process restarts.", "Connect again after a random pause.")),
    ABNORMAL: (
        "",
        Remedy(
            "The connection ended without a close frame: the network, a proxy's timeout, or a client that does not "
            "read (event `eviction`).",
            "Connect again. If it is regular, set the proxy's read timeout above `ping_interval`.",
        ),
    ),
    TOO_BIG: ("", Remedy("The client sent a message over the limit.", "Send nothing but the token's message.")),
    errors.TRY_AGAIN_LATER: ("a code of 5xx", Remedy("The service cannot serve now.", "Connect again later.")),
}


def tables() -> str:
    """Both tables, as Markdown."""
    return "\n".join([*_errors(), "", "### Close codes", "", *_closes()])


def _errors() -> Iterator[str]:
    yield "| Status | `error` | Socket | Cause | Remedy |"
    yield "|---|---|---|---|---|"
    for kind in sorted(REMEDIES, key=lambda kind: (errors.status(kind()), kind.code)):
        close = errors.close_code(kind()) if kind in REFUSALS else ""
        cause, remedy = REMEDIES[kind]
        yield f"| {errors.status(kind())} | `{kind.code}` | {close} | {cause} | {remedy} |"


def _closes() -> Iterator[str]:
    yield "| Code | Reason | Cause | Remedy |"
    yield "|---|---|---|---|"
    for code, (reason, (cause, remedy)) in sorted(CLOSES.items()):
        yield f"| {code} | {reason} | {cause} | {remedy} |"
    codes = {errors.close_code(kind()) for kind in REFUSALS}
    for code in sorted(codes):
        reasons = ", ".join(f"`{kind.code}`" for kind in REFUSALS if errors.close_code(kind()) == code)
        yield f"| {code} | {reasons} | as above | as above |"


def rewritten(text: str) -> str:
    """The document with its generated part as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/troubleshooting.md")
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
