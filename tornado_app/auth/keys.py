"""Keys. Each is bound to one algorithm, so that no token can choose how it is verified.

Sources: RFC 7515 and 7518; RFC 8725 section 3.1 for one algorithm per key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from jose import jwk
from jose.backends.base import Key

from tornado_app.auth import key_parsing
from tornado_app.auth.key_parsing import UnusableKey

MAX_KEYS = 64
"""Maximum keys in one set; a provider publishes two or three during a rotation."""

MAX_KID = 128
"""Maximum characters of a key id."""

MAX_TRIED = 8
"""Maximum keys that are tried for a token without a key id (OpenID Connect Core, 10.1)."""

_HMAC_BLOCK = 64


class Algorithm(StrEnum):
    """The accepted algorithms."""

    HS256 = "HS256"
    RS256 = "RS256"
    ES256 = "ES256"


ALGORITHMS = tuple(algorithm.value for algorithm in Algorithm)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that verifies signatures. `fingerprint` identifies the key material without revealing it."""

    algorithm: Algorithm
    key: Key = field(repr=False, compare=False)
    fingerprint: bytes = field(repr=False)
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs. `public` verifies its signatures (for HS256, the same secret)."""

    key: Key = field(repr=False, compare=False)
    public: VerificationKey

    @property
    def algorithm(self) -> Algorithm:
        """The algorithm that this key signs with."""
        return self.public.algorithm

    @property
    def kid(self) -> str | None:
        """The key id for the header."""
        return self.public.kid


class KeySource(Protocol):
    """A source of keys. `current` returns the same object until the keys change."""

    def current(self) -> KeySet:
        """The current keys. Fast, and never raises."""
        ...


class KeySet:
    """An immutable set of keys, indexed by key id and algorithm. It is also a KeySource."""

    def __init__(self, keys: Iterable[VerificationKey]) -> None:
        self.keys = tuple({(key.kid, key.fingerprint): key for key in keys}.values())
        if len(self.keys) > MAX_KEYS:
            raise UnusableKey(f"There are {len(self.keys)} keys in one set; at most {MAX_KEYS} are used.")
        self._kids = frozenset(key.kid for key in self.keys if key.kid is not None)
        self._by_name: dict[tuple[str | None, str], tuple[VerificationKey, ...]] = {}
        self._by_algorithm: dict[str, tuple[VerificationKey, ...]] = {}
        for key in self.keys:
            name = (key.kid, key.algorithm.value)
            self._by_name[name] = (*self._by_name.get(name, ()), key)
            same = self._by_algorithm.get(key.algorithm.value, ())
            self._by_algorithm[key.algorithm.value] = (*same, key)

    def __repr__(self) -> str:
        return f"KeySet({[(key.kid, key.algorithm.value) for key in self.keys]})"

    def current(self) -> KeySet:
        """Itself."""
        return self

    def find(self, kid: str | None, algorithm: str) -> tuple[VerificationKey, ...]:
        """The keys that may have signed a token with this header.

        A known id selects its key only. For an unknown id, the keys without an id are tried (the provider names its
        key, which is configured here as a PEM file). For a token without an id, all keys of its algorithm are tried, if
        there are at most MAX_TRIED.
        """
        if kid is None:
            found = self._by_algorithm.get(algorithm, ())
            return found if len(found) <= MAX_TRIED else ()
        return self._by_name.get((kid if kid in self._kids else None, algorithm), ())

    def knows(self, kid: str) -> bool:
        """Whether a key has this id."""
        return kid in self._kids


def secret_key(secret: str | bytes, kid: str | None = None, *, exact: bool = False) -> VerificationKey:
    """An HS256 key of a shared secret, whose trailing line break is ignored unless `exact`.

    Raises UnusableKey for a secret that is short, a placeholder, or a public key, certificate or JWK by mistake.
    """
    octets = key_parsing.secret(secret, exact=exact)
    key = jwk.construct(octets, Algorithm.HS256.value)
    return VerificationKey(Algorithm.HS256, key, _hmac_fingerprint(octets), _checked_kid(kid))


def public_keys(pem: str | bytes, kid: str | None = None) -> tuple[VerificationKey, ...]:
    """The RS256 and ES256 keys of a PEM text of public keys or certificates, one or several.

    `kid` is for a text that holds one key. Raises UnusableKey for private keys, other kinds of key and weak ones.
    """
    found = tuple(_public_key(public, kid) for public in key_parsing.public_keys(pem))
    if kid is not None and len(found) > 1:
        raise UnusableKey(f"There are {len(found)} keys for one key id; give each its own file, or use a JWKS.")
    return found


def public_key(pem: str | bytes, kid: str | None = None) -> VerificationKey:
    """The one RS256 or ES256 key of a PEM text; raises UnusableKey as `public_keys`, and for several keys."""
    found = public_keys(pem, kid)
    if len(found) > 1:
        raise UnusableKey(f"There are {len(found)} keys where one is expected.")
    return found[0]


def signing_secret(secret: str | bytes, kid: str | None = None) -> SigningKey:
    """An HS256 key that signs; raises UnusableKey as `secret_key`."""
    public = secret_key(secret, kid)
    return SigningKey(public.key, public)


def shared_keys(one: KeySet, other: KeySet) -> bool:
    """Whether the sets have key material in common; token keys and proof keys must not."""
    return not {key.fingerprint for key in one.keys}.isdisjoint(key.fingerprint for key in other.keys)


def _public_key(public: key_parsing.PublicKey, kid: str | None) -> VerificationKey:
    algorithm = Algorithm.RS256 if key_parsing.is_rsa(public) else Algorithm.ES256
    pem, der = key_parsing.spki(public)
    return VerificationKey(
        algorithm, jwk.construct(pem, algorithm.value), hashlib.sha256(der).digest(), _checked_kid(kid)
    )


def _hmac_fingerprint(octets: bytes) -> bytes:
    """HMAC hashes keys longer than a block and pads shorter ones with zeros, so different texts can be the same key."""
    block = hashlib.sha256(octets).digest() if len(octets) > _HMAC_BLOCK else octets
    return hashlib.sha256(b"hmac:" + block.ljust(_HMAC_BLOCK, b"\0")).digest()


def _checked_kid(kid: str | None) -> str | None:
    if kid is not None and not 1 <= len(kid) <= MAX_KID:
        raise UnusableKey(f"A key id has 1 to {MAX_KID} characters.")
    return kid
