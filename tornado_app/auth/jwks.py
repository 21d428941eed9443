"""Parses JWK Sets. Each key is bound to one algorithm, by its `alg` or its type. Source: RFC 7517, RFC 7518."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from jose import jwk
from jose.exceptions import JWKError

from tornado_app.auth.jws import InvalidJws, base64url, json_object, shown
from tornado_app.auth.key_parsing import UnusableKey
from tornado_app.auth.keys import Algorithm, KeySet, VerificationKey, public_key, secret_key

_MAX_NUMBER = 1400
"""Maximum characters of a number; an RSA modulus of 8192 bits has 1366."""

_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth")
"""Members that only a private key has. Source: RFC 7518, section 6."""

_EMPTY_VALUES: tuple[object, ...] = (None, "", [], {})
"""Values that some providers write for an absent member."""

_log = logging.getLogger("leaderboard.auth")


class _IrrelevantKey(UnusableKey):
    """A valid key that is not meant for verifying signatures with a supported algorithm."""


class SkippedKeys:
    """Logs the skipped keys of a JWK Set, each once, however often the set is loaded."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()

    def report(self, skipped: Iterable[tuple[str, UnusableKey]]) -> None:
        """Log the skipped keys (name and error) that were not skipped in the previous report."""
        lines = {f"{name} of the JWK Set is skipped: {fault}": fault for name, fault in skipped}
        for line, fault in lines.items():
            if line not in self._known:
                _log.log(logging.INFO if isinstance(fault, _IrrelevantKey) else logging.WARNING, "%s", line)
        self._known = frozenset(lines)


def parse_jwks(content: bytes, *, secrets: bool = False, skipped: SkippedKeys | None = None) -> KeySet:
    """The usable keys of a JWK Set; the others are skipped.

    `secrets`: whether shared secrets (`oct`) are accepted; a published secret is not secret. `skipped` logs the skipped
    keys; None logs nothing. Raises UnusableKey if the content is not a JWK Set, or has no usable key.
    """
    try:
        entries = json_object(content).get("keys")
    except InvalidJws:
        entries = None
    if not isinstance(entries, list):
        raise UnusableKey('This is not a JWK Set, a JSON object such as {"keys": [...]}.')
    found: list[VerificationKey] = []
    faults: list[tuple[str, UnusableKey]] = []
    for number, entry in enumerate(entries):
        try:
            found.append(_key(entry, secrets))
        except UnusableKey as fault:
            faults.append((_name(number, entry), fault))
    if not found:
        raise UnusableKey(_none_usable(faults))
    keys = KeySet(found)
    if skipped is not None:
        skipped.report(faults)
    return keys


def _name(number: int, entry: object) -> str:
    """The name of a key for the log: its kid, which does not depend on the other keys of the set."""
    kid = entry.get("kid") if isinstance(entry, dict) else None
    return f"Key number {number}" if kid in _EMPTY_VALUES else f"Key {shown(kid)}"


def _none_usable(faults: list[tuple[str, UnusableKey]]) -> str:
    """Why a set has no usable key: the error of the first invalid key, or of the first irrelevant one."""
    text = "The JWK Set has no key for RS256 or ES256 signatures."
    by_weight = sorted(faults, key=lambda each: isinstance(each[1], _IrrelevantKey))
    return next((f"{text} {name}: {fault}" for name, fault in by_weight), text)


def _key(entry: object, secrets: bool) -> VerificationKey:
    """The key of an entry. Raises UnusableKey, or _IrrelevantKey for a valid key with another purpose."""
    if not isinstance(entry, dict):
        raise UnusableKey("It is not a JSON object.")
    entry = {name: value for name, value in entry.items() if value not in _EMPTY_VALUES}
    algorithm = _algorithm(entry)
    _check_purpose(entry)
    kid = entry.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise UnusableKey("Its key id is not a string.")
    if algorithm is Algorithm.HS256:
        if not secrets:
            raise UnusableKey("It is a shared secret, and no longer one once it is published.")
        return secret_key(_octets(entry, "k"), kid, exact=True)
    if any(name in entry for name in _PRIVATE):
        raise UnusableKey("It is a private key; everyone who has read it can sign tokens. Replace it at the provider.")
    return _public_key(entry, algorithm, kid)


def _algorithm(entry: dict[str, Any]) -> Algorithm:
    """The algorithm of a key's type. Raises _IrrelevantKey if the key is for another algorithm."""
    match entry.get("kty"), entry.get("crv"):
        case "RSA", _:
            algorithm = Algorithm.RS256
        case "EC", "P-256":
            algorithm = Algorithm.ES256
        case "oct", _:
            algorithm = Algorithm.HS256
        case kind, curve:
            had = f"kty {shown(kind)}, crv {shown(curve)}"
            raise _IrrelevantKey(f"It is neither RSA, nor EC on P-256, nor a shared secret ({had}).")
    if entry.get("alg", algorithm.value) != algorithm.value:
        raise _IrrelevantKey(f"It is for {shown(entry['alg'])}; a key of its kind is used for {algorithm.value}.")
    return algorithm


def _check_purpose(entry: dict[str, Any]) -> None:
    if entry.get("use", "sig") != "sig":
        raise _IrrelevantKey(f"It is not for signatures (use {shown(entry['use'])}).")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _IrrelevantKey(f"It is not for verification (key_ops {shown(operations)}).")


def _public_key(entry: dict[str, Any], algorithm: Algorithm, kid: str | None) -> VerificationKey:
    names = ("n", "e") if algorithm is Algorithm.RS256 else ("x", "y")
    for name in names:
        _octets(entry, name)
    try:
        numbers = {name: entry[name] for name in ("kty", "crv", *names) if name in entry}
        key = jwk.construct(numbers, algorithm.value)
        pem = key.to_pem()
    except (JWKError, ValueError, OverflowError):
        raise UnusableKey("Its numbers are not a valid key.") from None
    return public_key(pem, kid)


def _octets(entry: dict[str, Any], name: str) -> bytes:
    """The bytes of a member. python-jose's own decoder accepts any spelling and any length."""
    text = entry.get(name)
    if not isinstance(text, str) or not 1 <= len(text) <= _MAX_NUMBER:
        raise UnusableKey(f"Its member {name} is missing or no base64url.")
    try:
        return base64url(text)
    except InvalidJws:
        raise UnusableKey(f"Its member {name} is missing or no base64url.") from None
