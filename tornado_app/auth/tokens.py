"""Verifies bearer tokens (signed JWTs). Source: the API contract, section 1."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tornado_app.auth import claims as claim_values
from tornado_app.auth import jws
from tornado_app.auth.jws import InvalidJws, VerifiedJws, shown
from tornado_app.auth.keys import KeySet, KeySource
from tornado_app.core import identity
from tornado_app.core.errors import ExpiredToken, InvalidToken
from tornado_app.core.identity import MAX_TOKEN
from tornado_app.core.model import Caller
from tornado_app.core.policies import DEFAULT_CLAIMS, ClaimNames

CACHE_SIZE = 32_768
"""Maximum cached tokens, about 700 bytes each: the key is the token's hash."""

MAX_AHEAD = 60.0
"""Maximum seconds that `iat` may be in the future; `nbf` is the claim that delays a token."""

_log = logging.getLogger("leaderboard.auth")

_TYPES: frozenset[str | None] = frozenset({None, "jwt", "at+jwt"})


class UnknownTokenKey(InvalidToken):
    """The token names an unknown key id, which may be new at the provider."""


class _Verified(NamedTuple):
    """A verified token, with the times between which it is valid, leeway included."""

    caller: Caller
    not_before: float
    expires: float


class TokenVerifier:
    """Verifies bearer tokens, and caches the accepted ones.

    `audience`: the accepted audiences; `issuer`: the required `iss`; if None or empty, the claim is not checked.
    `names`: the names of claims. `leeway`: maximum clock skew in seconds, for `exp` and `nbf`. `clock`: seconds since
    the epoch.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        audience: str | Iterable[str] | None,
        issuer: str | None,
        names: ClaimNames = DEFAULT_CLAIMS,
        leeway: float = 0,
        clock: Callable[[], float] = time.time,
        cache_size: int = CACHE_SIZE,
    ) -> None:
        self._source = keys
        self._keys = keys.current()
        self._audience = frozenset([audience] if isinstance(audience, str) else audience or ())
        self._issuer = issuer
        self._names = names
        self._leeway = leeway
        self._clock = clock
        self._cache_size = cache_size
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()
        self._warned = False

    def verify(self, token: str) -> Caller:
        """Whom the token speaks for; raises InvalidToken (UnknownTokenKey for an unknown key id) or ExpiredToken.

        A token is accepted from memory only as the very text whose signature was checked, by the present keys, and its
        times are compared with the clock on each call. Refusals are not remembered: strangers would fill the memory.
        """
        keys = self._source.current()
        if keys is not self._keys:
            self._keys = keys
            self._cache.clear()
        digest = _digest(token)
        verified = self._cache.get(digest)
        if verified is None:
            verified = self._open(token, keys)
            self._check_times(verified)
            self._remember(digest, verified)
        else:
            self._cache.move_to_end(digest)
            self._check_times(verified)
        return verified.caller

    def remembers(self, token: str) -> bool:
        """Whether the token was verified lately, by the keys in force."""
        return self._source.current() is self._keys and _digest(token) in self._cache

    def verify_signature(self, token: str) -> VerifiedJws:
        """Header, claims and key of a token with a good signature, whatever its claims say. Raises InvalidToken."""
        try:
            return jws.verify(token, self._source.current(), _TYPES, "The token")
        except InvalidJws as refusal:
            raise _invalid(refusal) from None

    def _open(self, token: str, keys: KeySet) -> _Verified:
        try:
            return self._verified(jws.verify(token, keys, _TYPES, "The token").claims)
        except InvalidJws as refusal:
            raise _invalid(refusal) from None

    def _verified(self, claims: dict[str, Any]) -> _Verified:
        expires = jws.date(claims, "exp")
        if expires is None:
            raise InvalidJws(
                "The token must say when it expires (exp).", reason="invalid_claim", detail="exp is absent"
            )
        issued = jws.date(claims, "iat") or 0.0
        not_before = max(jws.date(claims, "nbf") or 0.0, issued - MAX_AHEAD)
        claim_values.check_audience(claims, self._names, self._audience)
        if self._issuer is not None and claims.get("iss") != self._issuer:
            detail = f"had {shown(claims.get('iss'))}, wanted {shown(self._issuer)}"
            raise InvalidJws("The token is from another issuer (iss).", reason="issuer", detail=detail)
        caller = Caller(
            claim_values.user_id(claims, self._names),
            expires,
            claim_values.profile(claims, self._names),
            claim_values.scopes(claims, self._names),
        )
        if not caller.scopes and not self._warned and identity.looks_like_email(caller.user_id):
            self._warned = True
            _log.warning(
                "the user ids of tokens are e-mail addresses, and user ids are public; set jwt_user_claim to another "
                "claim"
            )
        return _Verified(caller, not_before - self._leeway, expires + self._leeway)

    def _check_times(self, verified: _Verified) -> None:
        now = self._clock()
        if not now < verified.expires:
            ago = now - verified.caller.expires_at
            raise ExpiredToken(reason="expired", detail=f"{ago:.0f} s ago, leeway {self._leeway:g} s")
        if now < verified.not_before:
            ahead = verified.not_before - now
            detail = f"valid in {ahead:.0f} s (nbf, iat), leeway {self._leeway:g} s"
            raise InvalidToken("The token is not valid yet.", reason="not_yet_valid", detail=detail)

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._cache[digest] = verified
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)


def _digest(token: str) -> bytes:
    """The key in the cache. A text that is not a token has one too, but no entry: accepted tokens are not that long."""
    return hashlib.sha256(token[: MAX_TOKEN + 1].encode("utf-8", "surrogatepass")).digest()


def _invalid(refusal: InvalidJws) -> InvalidToken:
    kind = UnknownTokenKey if isinstance(refusal, jws.UnknownKey) else InvalidToken
    return kind(str(refusal) or None, reason=refusal.reason, detail=refusal.detail)
