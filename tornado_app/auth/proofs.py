"""Verifies action proofs, by which a game server confirms an action. Source: the API contract, section 6."""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tornado_app.auth import jws
from tornado_app.auth.jws import InvalidJws, VerifiedJws, shown
from tornado_app.auth.keys import KeySet, KeySource, SigningKey
from tornado_app.auth.minting import sign
from tornado_app.core import identity
from tornado_app.core.boards import MAIN, MAX_SUBMITTED, NAME_PATTERN
from tornado_app.core.errors import ExpiredActionProof, InvalidActionProof, UnknownActionType
from tornado_app.core.model import MAX_SCORE, Submission, VerifiedProof

TYPE = "action-proof+jwt"
"""The header's `typ`, which distinguishes proofs from tokens."""

LIFETIME = 60.0
"""Maximum seconds from `iat` to `exp`."""

LEEWAY = 5.0
"""Maximum seconds that the game server's clock may be ahead."""

_TYPES: frozenset[str | None] = frozenset({TYPE})
_BOARD = re.compile(NAME_PATTERN)


class Proof(msgspec.Struct, frozen=True):
    """A checked proof: `player` did `action_type`, once, as action `id`. `points` None leaves them to the table.

    `score`: a proof of a score, for a board of the rule best or last, which is no proof of points. `issued_at`,
    `expires_at`: seconds since the epoch.
    """

    player: str
    action_type: str
    id: str
    issued_at: float
    expires_at: float
    points: int | None = None
    score: int | None = None
    board: str = MAIN.name


class ProofVerifier:
    """Verifies action proofs. Its keys must be disjoint from the token keys (see `keys.shared_keys`).

    A proof is accepted from `leeway` seconds before its `iat` until its `exp`, without leeway there. So ids
    must be remembered against replays for `lifetime` + `leeway` seconds.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        lifetime: float = LIFETIME,
        leeway: float = LEEWAY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._lifetime = lifetime
        self._leeway = leeway
        self._clock = clock

    @property
    def keys(self) -> KeySet:
        """The current keys of proofs."""
        return self._keys.current()

    def verify(self, text: str) -> Proof:
        """The proof of a compact JWS. Raises InvalidActionProof or ExpiredActionProof."""
        try:
            proof = _proof(self._open(text).claims)
        except InvalidJws as refusal:
            raise _invalid(refusal) from None
        self._check_times(proof)
        return proof

    def verify_signature(self, text: str) -> VerifiedJws:
        """Header, claims and key of a proof with a valid signature; other claims are not checked. Raises
        InvalidActionProof."""
        try:
            return self._open(text)
        except InvalidJws as refusal:
            raise _invalid(refusal) from None

    def verify_submission(self, submission: Submission, actions: Mapping[str, int], board: str) -> VerifiedProof:
        """The verified proof of a submission to a board. Raises as `verify` and `bind`."""
        if submission.proof is None:
            raise InvalidActionProof(detail="no proof")
        return bind(self.verify(submission.proof), submission, actions, board)

    def _open(self, text: str) -> VerifiedJws:
        return jws.verify(text, self._keys.current(), _TYPES, "The action proof")

    def _check_times(self, proof: Proof) -> None:
        now = self._clock()
        lifetime = proof.expires_at - proof.issued_at
        if not 0 < lifetime <= self._lifetime:
            raise InvalidActionProof(
                "The action proof is valid for longer than the service allows (exp, iat).",
                reason="lifetime",
                detail=f"had {lifetime:g} s, wanted more than 0 and at most {self._lifetime:g} s (proof_lifetime)",
            )
        if proof.issued_at > now + self._leeway:
            detail = f"issued {proof.issued_at - now:.0f} s ahead (iat), leeway {self._leeway:g} s"
            raise InvalidActionProof(
                "The action proof is from the future (iat).", reason="not_yet_valid", detail=detail
            )
        if proof.expires_at <= now:
            raise ExpiredActionProof(reason="expired", detail=f"{now - proof.expires_at:.0f} s ago")


def bind(proof: Proof, submission: Submission, actions: Mapping[str, int], board: str = MAIN.name) -> VerifiedProof:
    """The contents of a proof that matches the submission to a board.

    The board must be the proof's, and members of the request (player, type, points, id) must equal those of the proof,
    which supplies the missing ones. `actions`: points by action type, for a proof without points. Raises
    InvalidActionProof, and UnknownActionType if neither the proof nor the table has points.
    """
    player = submission.caller.user_id if submission.user_id is None else submission.user_id
    if proof.player != player:
        raise _other("player", proof.player, player, reason="other_player")
    if proof.board != board:
        raise _other("board", proof.board, board, reason="other_board")
    if submission.action_type not in (None, proof.action_type):
        raise _other("type of action", proof.action_type, submission.action_type, reason="other_action_type")
    if submission.action_id not in (None, proof.id):
        raise _other("action id", proof.id, submission.action_id, reason="other_action_id")
    if submission.score is not None or proof.score is not None:
        if submission.score != proof.score or submission.score is None:
            raise _other("score", proof.score, submission.score, reason="other_score")
        return VerifiedProof(proof.id, proof.action_type, submission.score)
    points = actions.get(proof.action_type) if proof.points is None else proof.points
    if points is None:
        raise UnknownActionType(detail=f"type {shown(proof.action_type)}, of a proof without points")
    if submission.points not in (None, points):
        raise _other("number of points", points, submission.points, reason="other_points")
    return VerifiedProof(proof.id, proof.action_type, points)


def _other(what: str, had: object, wanted: object, *, reason: str) -> InvalidActionProof:
    """The error for a proof that is for another `what` than the request."""
    detail = f"proof for {shown(had)}, request for {shown(wanted)}"
    return InvalidActionProof(f"The action proof is for another {what}.", reason=reason, detail=detail)


def _invalid(refusal: InvalidJws) -> InvalidActionProof:
    return InvalidActionProof(str(refusal) or None, reason=refusal.reason, detail=refusal.detail)


def sign_action(
    key: SigningKey,
    *,
    sub: str,
    action_type: str,
    points: int | None = None,
    score: int | None = None,
    action_id: str | None = None,
    board: str = MAIN.name,
    ttl: float = LIFETIME,
    clock: Callable[[], float] = time.time,
) -> str:
    """A proof that is valid for `ttl` seconds, with a random id by default.

    Raises ValueError if no service could accept it.
    """
    issued = math.floor(clock())
    claims: dict[str, Any] = {
        "sub": sub,
        "act": action_type,
        "pts": points,
        "scr": score,
        "brd": None if board == MAIN.name else board,
        "jti": secrets.token_urlsafe(12) if action_id is None else action_id,
        "iat": issued,
        "exp": issued + ttl,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    try:
        _proof(claims)
    except InvalidJws as refusal:
        raise ValueError(str(refusal)) from None
    if not ttl > 0:
        raise ValueError("An action proof must be valid for more than 0 seconds.")
    return sign(key, claims, TYPE)


def _proof(claims: dict[str, Any]) -> Proof:
    player, action_type, points, score, action_id = (claims.get(name) for name in ("sub", "act", "pts", "scr", "jti"))
    board = claims.get("brd", MAIN.name)
    if not isinstance(player, str) or not identity.is_user_id(player):
        raise _claim("The action proof must name a player (sub).", "sub", player)
    if not isinstance(action_type, str) or not identity.is_action_type(action_type):
        text = f"The action proof must name an action type of 1 to {identity.MAX_ACTION_TYPE} characters (act)."
        raise _claim(text, "act", action_type)
    if not isinstance(action_id, str) or not identity.is_action_id(action_id):
        text = "The action proof must have an id of 1 to 128 visible ASCII characters (jti)."
        raise _claim(text, "jti", action_id)
    if "pts" in claims and (type(points) is not int or not 1 <= points <= MAX_SCORE):
        raise _claim("The points of an action proof must be an integer of 1 or more (pts).", "pts", points)
    if "scr" in claims and (type(score) is not int or abs(score) > MAX_SUBMITTED):
        text = f"The score of an action proof must be an integer of -{MAX_SUBMITTED} to {MAX_SUBMITTED} (scr)."
        raise _claim(text, "scr", score)
    if "scr" in claims and "pts" in claims:
        raise _claim("An action proof is for points or for a score, not for both (pts, scr).", "scr", score)
    if not isinstance(board, str) or not _BOARD.fullmatch(board):
        raise _claim("The board of an action proof must be the name of a board (brd).", "brd", board)
    issued, expires = jws.date(claims, "iat"), jws.date(claims, "exp")
    if issued is None or expires is None:
        text = "The action proof must say when it was issued and when it expires (iat, exp)."
        raise _claim(text, "exp" if expires is None else "iat", None)
    return Proof(player, action_type, action_id, issued, expires, points, score, board)


def _claim(text: str, name: str, value: object) -> InvalidJws:
    return InvalidJws(text, reason="invalid_claim", detail=f"claim {name} is {shown(value)}")
