"""Keys, each fixed to one algorithm when it is built, so that no token can choose how it is checked.

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

from tornado_app.auth import material
from tornado_app.auth.material import UnusableKey

MAX_KEYS = 64
"""Keys in one set: a provider in rotation publishes two or three."""

MAX_KID = 128
"""Characters of a key id."""

MAX_TRIED = 8
"""Keys that a token without a key id is tried against; past it, it must name one (OpenID Connect Core, 10.1)."""

_HMAC_BLOCK = 64


class Algorithm(StrEnum):
    """The algorithms that are accepted at all."""

    HS256 = "HS256"
    RS256 = "RS256"
    ES256 = "ES256"


ALGORITHMS = tuple(algorithm.value for algorithm in Algorithm)
"""Their names."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """What a signature is checked with. `fingerprint` identifies the material, without giving it away."""

    algorithm: Algorithm
    key: Key = field(repr=False, compare=False)
    fingerprint: bytes = field(repr=False)
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What tokens and proofs are signed with. `public` is the half that checks them (for HS256, the same secret)."""

    key: Key = field(repr=False, compare=False)
    public: VerificationKey

    @property
    def algorithm(self) -> Algorithm:
        """The one algorithm that this key signs with."""
        return self.public.algorithm

    @property
    def kid(self) -> str | None:
        """The key id for the header of what is signed."""
        return self.public.kid


class KeySource(Protocol):
    """Where a verifier gets its keys. The same object is given until the keys differ, so `is` tells a change."""

    def current(self) -> KeySet:
        """The keys to check with now; quick, and never raises."""
        ...


class KeySet:
    """Keys that never change, found by key id and algorithm in memory; also a source of itself."""

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
        """The keys that a token with this header may be signed with; none where there are none.

        A known id names its key alone. Keys without an id stand in for an unknown one (a provider that names its key,
        configured here as a PEM file). A token without an id is tried against each key of its algorithm, if few.
        """
        if kid is None:
            found = self._by_algorithm.get(algorithm, ())
            return found if len(found) <= MAX_TRIED else ()
        return self._by_name.get((kid if kid in self._kids else None, algorithm), ())

    def knows(self, kid: str) -> bool:
        """Whether a key has this id."""
        return kid in self._kids


class JoinedKeys:
    """Several sources as one, for a rotation in which the old and the new key are different files."""

    def __init__(self, sources: Iterable[KeySource]) -> None:
        self._sources = tuple(sources)
        self._parts: tuple[KeySet, ...] = ()
        self._joined = KeySet(())

    def current(self) -> KeySet:
        """The keys of all sources, in their order; the first wins where two are the same key."""
        parts = tuple(source.current() for source in self._sources)
        if len(parts) != len(self._parts) or any(new is not old for new, old in zip(parts, self._parts, strict=True)):
            self._parts = parts
            self._joined = KeySet(key for part in parts for key in part.keys)
        return self._joined


def secret_key(secret: str | bytes, kid: str | None = None, *, exact: bool = False) -> VerificationKey:
    """An HS256 key of a shared secret, whose last line end does not count unless `exact`.

    Raises UnusableKey for a secret that is short, a placeholder, or a public key, certificate or JWK by mistake.
    """
    octets = material.secret(secret, exact=exact)
    key = jwk.construct(octets, Algorithm.HS256.value)
    return VerificationKey(Algorithm.HS256, key, _hmac_fingerprint(octets), _checked_kid(kid))


def public_keys(pem: str | bytes, kid: str | None = None) -> tuple[VerificationKey, ...]:
    """The RS256 and ES256 keys of a PEM text of public keys or certificates, one or several.

    `kid` is for a text that holds one key. Raises UnusableKey for private keys, other kinds of key and weak ones.
    """
    found = tuple(_public_key(public, kid) for public in material.public_keys(pem))
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


def signing_key(pem: str | bytes, kid: str | None = None) -> SigningKey:
    """An RS256 or ES256 key that signs, from the PEM text of an unencrypted private key; raises UnusableKey."""
    private, public = material.private_key(pem)
    checked = _public_key(public, kid)
    return SigningKey(jwk.construct(private, checked.algorithm.value), checked)


def same_key(one: VerificationKey, other: VerificationKey) -> bool:
    """Whether both are the same material, whatever their ids: what one signs, the other would accept."""
    return one.fingerprint == other.fingerprint


def shared_keys(one: KeySet, other: KeySet) -> bool:
    """Whether the sets have a key in common; token keys and proof keys must not."""
    return not {key.fingerprint for key in one.keys}.isdisjoint(key.fingerprint for key in other.keys)


def _public_key(public: material.PublicKey, kid: str | None) -> VerificationKey:
    algorithm = Algorithm.RS256 if material.is_rsa(public) else Algorithm.ES256
    pem, der = material.spki(public)
    return VerificationKey(
        algorithm, jwk.construct(pem, algorithm.value), hashlib.sha256(der).digest(), _checked_kid(kid)
    )


def _hmac_fingerprint(octets: bytes) -> bytes:
    """HMAC hashes a key longer than a block and pads a shorter one with zeros, so different texts can be one key."""
    block = hashlib.sha256(octets).digest() if len(octets) > _HMAC_BLOCK else octets
    return hashlib.sha256(b"hmac:" + block.ljust(_HMAC_BLOCK, b"\0")).digest()


def _checked_kid(kid: str | None) -> str | None:
    if kid is not None and not 1 <= len(kid) <= MAX_KID:
        raise UnusableKey(f"A key id has 1 to {MAX_KID} characters.")
    return kid
