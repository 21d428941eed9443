"""Bearer tokens: a signed JWT goes in, a Caller or a refusal comes out. Source: the API contract, section 1."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from tornado_app.auth import compact
from tornado_app.auth.compact import Refused
from tornado_app.auth.keys import KeySet, KeySource
from tornado_app.core import identity
from tornado_app.core.errors import ExpiredToken, InvalidToken
from tornado_app.core.model import Caller, Profile, Scope

CACHE_SIZE = 32_768
"""Verified tokens kept: about 700 bytes each, at most a few kilobytes, as a token has 4096 characters."""

MAX_AHEAD = 60.0
"""Seconds that `iat` may lie ahead: it dates a token, `nbf` is what holds one back."""

_TYPES: frozenset[str | None] = frozenset({None, "jwt", "at+jwt"})
_SCOPES: frozenset[str] = frozenset(Scope)


class UnknownTokenKey(InvalidToken):
    """The token names a key id that is not known (yet): worth one look at the provider's keys."""


class _Verified(NamedTuple):
    """A token whose signature was checked, with the times between which it holds."""

    caller: Caller
    not_before: float
    expires: float


class TokenVerifier:
    """Checks bearer tokens, and remembers those it accepted.

    `audience` and `issuer`: what `aud` must hold and `iss` must be; where None, the claim is not looked at.
    `leeway`: seconds that clocks may differ, for `exp` and `nbf`. `clock`: seconds since the epoch.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        audience: str | None,
        issuer: str | None,
        leeway: float = 0,
        clock: Callable[[], float] = time.time,
        cache_size: int = CACHE_SIZE,
    ) -> None:
        self._source = keys
        self._keys = keys.current()
        self._audience = audience
        self._issuer = issuer
        self._leeway = leeway
        self._clock = clock
        self._cache_size = cache_size
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()

    def verify(self, token: str) -> Caller:
        """Whom the token speaks for; raises InvalidToken (UnknownTokenKey for an unknown key id) or ExpiredToken.

        A token is accepted from memory only as the very text whose signature was checked, by the present keys, and its
        times are compared with the clock on each call. Refusals are not remembered: strangers would fill the memory.
        """
        if len(token) > compact.MAX_LENGTH or not token.isascii():
            raise InvalidToken
        keys = self._source.current()
        if keys is not self._keys:
            self._keys = keys
            self._cache.clear()
        digest = hashlib.sha256(token.encode("ascii")).digest()
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
        if len(token) > compact.MAX_LENGTH or not token.isascii() or self._source.current() is not self._keys:
            return False
        return hashlib.sha256(token.encode("ascii")).digest() in self._cache

    def _open(self, token: str, keys: KeySet) -> _Verified:
        try:
            claims = compact.open_jws(token, keys, _TYPES)
            return self._verified(claims)
        except compact.UnknownKey:
            raise UnknownTokenKey from None
        except Refused as refusal:
            raise InvalidToken(str(refusal) or None) from None

    def _verified(self, claims: dict[str, Any]) -> _Verified:
        expires = compact.date(claims, "exp")
        if expires is None:
            raise Refused("The token must say when it expires (exp).")
        issued = compact.date(claims, "iat") or 0.0
        not_before = max(compact.date(claims, "nbf") or 0.0, issued - MAX_AHEAD)
        _check_audience(claims, self._audience)
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise Refused("The token is from another issuer (iss).")
        caller = Caller(_user_id(claims), expires, _profile(claims), _scopes(claims))
        return _Verified(caller, not_before - self._leeway, expires + self._leeway)

    def _check_times(self, verified: _Verified) -> None:
        now = self._clock()
        if not now < verified.expires:
            raise ExpiredToken
        if now < verified.not_before:
            raise InvalidToken("The token is not valid yet.")

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._cache[digest] = verified
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)


def _check_audience(claims: dict[str, Any], audience: str | None) -> None:
    """Holds `aud`, a string or a list of them (RFC 7519 section 4.1.3), against what is configured."""
    if audience is None:
        return
    found = claims.get("aud")
    if found != audience and not (isinstance(found, list) and audience in found):
        raise Refused("The token is for another audience (aud).")


def _user_id(claims: dict[str, Any]) -> str:
    """The player of `sub`, or of `user_id` where there is no `sub`."""
    named = [claims[name] for name in ("sub", "user_id") if claims.get(name) is not None]
    if not named:
        raise Refused("The token names no user (sub).")
    for user_id in named:
        if not isinstance(user_id, str):
            kind = "a number" if isinstance(user_id, int | float) and not isinstance(user_id, bool) else "no string"
            raise Refused(f"The user id of the token (sub, user_id) is {kind}; it must be a string.")
        if not identity.is_user_id(user_id):
            raise Refused(f"The user id of the token does not have {identity.USER_ID_FORM}.")
    if named[0] != named[-1]:
        raise Refused("The token names two different users (sub, user_id).")
    return str(named[0])


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """The scopes that mean something here; a list of strings, as some providers write it, is read like the string."""
    scope = claims.get("scope")
    if scope is None:
        return frozenset()
    granted = scope.split(" ") if isinstance(scope, str) else scope
    if not isinstance(granted, list) or not all(isinstance(entry, str) for entry in granted):
        raise Refused("The claim scope must be a string of scopes with spaces between them.")
    return _SCOPES.intersection(granted)


def _profile(claims: dict[str, Any]) -> Profile:
    """How the provider says that the player is shown; what cannot be shown is left out, not refused."""
    values = (claims.get(name) for name in ("nickname", "preferred_username", "name"))
    names = (identity.username_of_claim(value) for value in values if isinstance(value, str))
    picture = claims.get("picture")
    return Profile(
        username=next((name for name in names if name is not None), None),
        avatar_url=identity.avatar_url(picture) if isinstance(picture, str) else None,
    )
