"""Action proofs: the game server's word that an action happened. Source: the API contract, section 6."""

from __future__ import annotations

import math
import secrets
import time
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tornado_app.auth import compact
from tornado_app.auth.compact import Refused
from tornado_app.auth.keys import KeySource, SigningKey
from tornado_app.auth.minting import sign
from tornado_app.core import identity
from tornado_app.core.errors import ExpiredActionProof, InvalidActionProof, UnknownActionType
from tornado_app.core.model import MAX_SCORE, Submission, Vouched

TYPE = "action-proof+jwt"
"""The header's `typ`: no token has it, and no proof lacks it."""

LIFETIME = 60.0
"""Seconds that `exp` may lie after `iat`."""

LEEWAY = 5.0
"""Seconds that the game server's clock may be ahead of ours."""

MAX_ACTION_TYPE = 128
"""Characters of an action type."""

_TYPES: frozenset[str | None] = frozenset({TYPE})


class Proof(msgspec.Struct, frozen=True):
    """A checked proof: `player` did `action_type`, once, as action `id`. `points` None leaves them to the table.

    `issued_at`, `expires_at`: seconds since the epoch.
    """

    player: str
    action_type: str
    id: str
    issued_at: float
    expires_at: float
    points: int | None = None


class ProofVerifier:
    """Checks action proofs. Its keys must be none of the token's keys (`keys.shared_keys` tells).

    A proof is accepted from `leeway` seconds before its `iat` until its `exp`, without leeway there: so the ids that
    must be remembered against replays are those of the last `remember_for` seconds.
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
    def remember_for(self) -> float:
        """The longest time in seconds in which one proof can be accepted, by one clock."""
        return self._lifetime + self._leeway

    def verify(self, text: str) -> Proof:
        """The proof in its compact form; raises InvalidActionProof or ExpiredActionProof."""
        try:
            claims = compact.open_jws(text, self._keys.current(), _TYPES)
            proof = _proof(claims)
        except Refused as refusal:
            raise InvalidActionProof(str(refusal) or None) from None
        self._check_times(proof)
        return proof

    def vouch(self, submission: Submission, actions: Mapping[str, int]) -> Vouched:
        """What the submission's proof says, once it is known to be for it; raises as `verify` and `bind` do."""
        if submission.proof is None:
            raise InvalidActionProof
        return bind(self.verify(submission.proof), submission, actions)

    def _check_times(self, proof: Proof) -> None:
        now = self._clock()
        if not 0 < proof.expires_at - proof.issued_at <= self._lifetime:
            raise InvalidActionProof("The action proof may not hold for longer than the service allows (exp, iat).")
        if proof.issued_at > now + self._leeway:
            raise InvalidActionProof("The action proof is from the future (iat).")
        if proof.expires_at <= now:
            raise ExpiredActionProof


def bind(proof: Proof, submission: Submission, actions: Mapping[str, int]) -> Vouched:
    """What the proof vouches for, where it is for this submission and for no other.

    Whatever the request names (player, type, points, id) must be what the proof names; what it leaves out, the proof
    says. `actions`: points by action type, for a proof without points. Raises InvalidActionProof, and UnknownActionType
    where neither the proof nor the table has points.
    """
    player = submission.caller.user_id if submission.user_id is None else submission.user_id
    if proof.player != player:
        raise InvalidActionProof("The action proof is for another player.")
    if submission.action_type not in (None, proof.action_type):
        raise InvalidActionProof("The action proof is for another type of action.")
    if submission.action_id not in (None, proof.id):
        raise InvalidActionProof("The action proof is for another action id.")
    points = actions.get(proof.action_type) if proof.points is None else proof.points
    if points is None:
        raise UnknownActionType
    if submission.points not in (None, points):
        raise InvalidActionProof("The action proof is for another number of points.")
    return Vouched(proof.id, proof.action_type, points)


def sign_action(
    key: SigningKey,
    *,
    sub: str,
    action_type: str,
    points: int | None = None,
    action_id: str | None = None,
    ttl: float = LIFETIME,
    clock: Callable[[], float] = time.time,
) -> str:
    """A proof that holds for `ttl` seconds, with a random id where none is given.

    Raises ValueError where no service could accept it.
    """
    issued = math.floor(clock())
    claims: dict[str, Any] = {
        "sub": sub,
        "act": action_type,
        "pts": points,
        "jti": secrets.token_urlsafe(12) if action_id is None else action_id,
        "iat": issued,
        "exp": issued + ttl,
    }
    if points is None:
        del claims["pts"]
    try:
        _proof(claims)
    except Refused as refusal:
        raise ValueError(str(refusal)) from None
    if not ttl > 0:
        raise ValueError("An action proof must hold for more than 0 seconds.")
    return sign(key, claims, TYPE)


def _is_action_type(text: str) -> bool:
    """Text of some length without control characters, and without half surrogate pairs, which nothing can store."""
    return 1 <= len(text) <= MAX_ACTION_TYPE and not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def _proof(claims: dict[str, Any]) -> Proof:
    player, action_type, points, action_id = (claims.get(name) for name in ("sub", "act", "pts", "jti"))
    if not isinstance(player, str) or not identity.is_user_id(player):
        raise Refused("The action proof must name a player (sub).")
    if not isinstance(action_type, str) or not _is_action_type(action_type):
        raise Refused(f"The action proof must name an action type of 1 to {MAX_ACTION_TYPE} characters (act).")
    if not isinstance(action_id, str) or not identity.is_action_id(action_id):
        raise Refused("The action proof must have an id of 1 to 128 visible ASCII characters (jti).")
    if "pts" in claims and (type(points) is not int or not 1 <= points <= MAX_SCORE):
        raise Refused("The points of an action proof must be an integer of 1 or more (pts).")
    issued, expires = compact.date(claims, "iat"), compact.date(claims, "exp")
    if issued is None or expires is None:
        raise Refused("The action proof must say when it was issued and when it expires (iat, exp).")
    return Proof(player, action_type, action_id, issued, expires, points)
