"""A JWK Set as keys: each fixed to one algorithm, by its own word or by its kind. Source: RFC 7517, RFC 7518."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jose import jwk
from jose.exceptions import JWKError

from tornado_app.auth.compact import Refused, base64url, json_object
from tornado_app.auth.keyfiles import KeyFile
from tornado_app.auth.keys import Algorithm, KeySet, VerificationKey, public_key, secret_key
from tornado_app.auth.material import UnusableKey

_MAX_NUMBER = 1400
"""Characters of an RSA modulus: 8192 bits are 1366."""

_log = logging.getLogger("leaderboard.auth")


def parse_jwks(content: bytes, *, secrets: bool = False) -> KeySet:
    """The usable keys of a JWK Set; the others are passed over, those that are wrong (not just of no use) with a log.

    `secrets`: whether shared secrets (`oct`) are taken; a secret that was published is none. Raises UnusableKey where
    the content is no JWK Set, or holds no usable key.
    """
    try:
        entries = json_object(content).get("keys")
    except Refused:
        entries = None
    if not isinstance(entries, list):
        raise UnusableKey('This is not a JWK Set, a JSON object such as {"keys": [...]}.')
    found: list[VerificationKey] = []
    faults: list[str] = []
    for number, entry in enumerate(entries):
        try:
            found.extend(_keys(entry, secrets))
        except UnusableKey as fault:
            faults.append(f"Key {number} of the JWK Set is passed over: {fault}")
    if not found:
        raise UnusableKey(faults[0] if faults else "The JWK Set has no key for RS256 or ES256 signatures.")
    keys = KeySet(found)
    for line in faults:
        _log.warning("%s", line)
    return keys


def jwks_file(path: Path, *, clock: Callable[[], float] = time.monotonic) -> KeyFile:
    """A JWK Set in a file, which may hold shared secrets; raises UnusableKey."""
    return KeyFile(path, lambda content: parse_jwks(content, secrets=True), clock=clock)


def _keys(entry: object, secrets: bool) -> tuple[VerificationKey, ...]:
    """The key of an entry, none where it is for something else; raises UnusableKey where it is wrong."""
    if not isinstance(entry, dict):
        raise UnusableKey("It is not a JSON object.")
    algorithm = _algorithm(entry)
    if algorithm is None or not _is_for_signatures(entry):
        return ()
    kid = entry.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise UnusableKey("Its key id is not a string.")
    if algorithm is Algorithm.HS256:
        if not secrets:
            raise UnusableKey("It is a shared secret, and no longer one once it is published.")
        return (secret_key(_octets(entry, "k"), kid, exact=True),)
    if "d" in entry:
        raise UnusableKey("It is a private key; whoever read it can sign tokens. Replace it at the provider.")
    return (_public_key(entry, algorithm, kid),)


def _algorithm(entry: dict[str, Any]) -> Algorithm | None:
    """The one algorithm of a key: what its kind has here, unless the key itself is meant for another."""
    match entry.get("kty"), entry.get("crv"):
        case "RSA", _:
            algorithm = Algorithm.RS256
        case "EC", "P-256":
            algorithm = Algorithm.ES256
        case "oct", _:
            algorithm = Algorithm.HS256
        case _:
            return None
    return algorithm if entry.get("alg", algorithm.value) == algorithm.value else None


def _is_for_signatures(entry: dict[str, Any]) -> bool:
    operations = entry.get("key_ops")
    return entry.get("use", "sig") == "sig" and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )


def _public_key(entry: dict[str, Any], algorithm: Algorithm, kid: str | None) -> VerificationKey:
    names = ("n", "e") if algorithm is Algorithm.RS256 else ("x", "y")
    for name in names:
        _octets(entry, name)
    try:
        numbers = {name: entry[name] for name in ("kty", "crv", *names) if name in entry}
        key = jwk.construct(numbers, algorithm.value)
        pem = key.to_pem()
    except (JWKError, ValueError, OverflowError):
        raise UnusableKey("Its numbers are no key.") from None
    return public_key(pem, kid)


def _octets(entry: dict[str, Any], name: str) -> bytes:
    """The bytes of a member, which python-jose's own decoder would take in any spelling and at any length."""
    text = entry.get(name)
    if not isinstance(text, str) or not 1 <= len(text) <= _MAX_NUMBER:
        raise UnusableKey(f"Its member {name} is missing or no base64url.")
    try:
        return base64url(text)
    except Refused:
        raise UnusableKey(f"Its member {name} is missing or no base64url.") from None
