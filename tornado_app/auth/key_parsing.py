"""Parses and validates configured keys. Errors say what to do, and never contain a part of a key."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate
from jose import jwk
from jose.exceptions import JWKError

PublicKey = RSAPublicKey | EllipticCurvePublicKey

MIN_SECRET = 32
"""Minimum bytes of an HS256 secret: the size of the hash (RFC 7518 section 3.2)."""

MIN_DISTINCT = 10
"""Minimum distinct bytes of a secret; 32 random bytes, hex or base64 digits practically always have more."""

RSA_BITS = range(2048, 8193)
"""Accepted sizes. Minimum: RFC 7518 section 3.3. Above the maximum, one verification takes milliseconds."""

_HOW_TO_GENERATE = "Make one with: openssl rand -base64 48"
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----[^-]*-----END \1-----")
_PEM_START = re.compile(rb"-{2,5} ?BEGIN ", re.IGNORECASE)
_DER_LOADERS: tuple[Callable[[bytes], object], ...] = (
    serialization.load_der_public_key,
    load_der_x509_certificate,
    lambda der: serialization.load_der_private_key(der, None),
)


class UnusableKey(ValueError):
    """A key cannot or must not be used. The message says why, and what to do."""


def secret(text: str | bytes, *, exact: bool = False) -> bytes:
    """The bytes of a shared secret, without the trailing line break unless `exact`. Raises UnusableKey."""
    given = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    octets = given if exact else given.rstrip(b"\r\n")
    if any(map(_is_public_material, {given, given.removesuffix(b"\n"), octets})):  # DER may end with these bytes itself
        raise UnusableKey(
            "This is a key, certificate or JWK where a shared secret is needed: everyone with the public key could "
            "sign tokens with it. Configure it as a public key (or a JWKS) instead."
        )
    if len(octets) < MIN_SECRET:
        raise UnusableKey(f"The secret has {len(octets)} bytes, HS256 needs {MIN_SECRET} or more. {_HOW_TO_GENERATE}")
    if len(set(octets)) < MIN_DISTINCT or _repeats(octets):
        raise UnusableKey(f"The secret repeats itself, as a placeholder does. {_HOW_TO_GENERATE}")
    return octets


def public_keys(pem: str | bytes) -> list[PublicKey]:
    """The public keys and those of certificates in a PEM text. Validity dates are not checked. Raises UnusableKey."""
    octets = pem.encode("utf-8", "surrogateescape") if isinstance(pem, str) else pem
    if b"PRIVATE KEY-----" in octets:
        raise UnusableKey(
            "This is a private key where a public key is needed, and this service must not have it. "
            "Take its public half with: openssl pkey -in private.pem -pubout"
        )
    blocks = list(_PEM_BLOCK.finditer(octets))
    if not blocks or len(blocks) != octets.count(b"-----BEGIN "):
        raise UnusableKey("This is not a whole public key in PEM form, which begins with -----BEGIN PUBLIC KEY-----.")
    return [_public_block(block[1].decode(), block[0]) for block in blocks]


def is_rsa(public: PublicKey) -> bool:
    """Whether the key is RSA; else it is P-256."""
    return isinstance(public, RSAPublicKey)


def spki(public: PublicKey) -> tuple[bytes, bytes]:
    """The key's SubjectPublicKeyInfo, as PEM and as DER."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, form)
    return pem, public.public_bytes(serialization.Encoding.DER, form)


def _public_block(label: str, block: bytes) -> PublicKey:
    try:
        if label == "CERTIFICATE":
            return _checked(load_pem_x509_certificate(block).public_key())
        return _checked(serialization.load_pem_public_key(block))
    except UnusableKey:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey(f"The PEM block {label} holds no public key that can be read.") from None


def _checked(public: object) -> PublicKey:
    """`public`, if it is RSA of an accepted size or on P-256. Raises UnusableKey."""
    if isinstance(public, RSAPublicKey):
        if public.key_size not in RSA_BITS:
            raise UnusableKey(
                f"The RSA key has {public.key_size} bits; {RSA_BITS[0]} to {RSA_BITS[-1]} bits are accepted."
            )
        return public
    if isinstance(public, EllipticCurvePublicKey):
        if not isinstance(public.curve, SECP256R1):
            raise UnusableKey(f"The key is on the curve {public.curve.name}; ES256 needs P-256 (prime256v1).")
        return public
    raise UnusableKey("The key is neither RSA (RS256) nor on P-256 (ES256).")


def _repeats(octets: bytes) -> bool:
    """Whether this is a shorter text, repeated."""
    return any(octets.startswith(octets[period:]) for period in range(1, len(octets) // 2 + 1))


def _is_public_material(octets: bytes) -> bool:
    """Whether this is an asymmetric key in a usual format: PEM, DER, the body of a PEM, SSH or JWK."""
    if _PEM_START.search(octets) or _is_jwk(octets) or _is_der(octets):
        return True
    try:
        if _is_der(base64.b64decode(b"".join(octets.split()), validate=True)):
            return True
    except binascii.Error:
        pass  # not base64
    try:
        jwk.construct(octets, "HS256")
    except JWKError:
        return True  # python-jose knows further PEM labels and the SSH forms
    return False


def _is_der(octets: bytes) -> bool:
    for load in _DER_LOADERS:
        try:
            load(octets)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            if isinstance(error, TypeError):
                return True  # an encrypted private key: the loader needs a password
            continue
        return True
    return False


def _is_jwk(octets: bytes) -> bool:
    if not octets.lstrip().startswith(b"{"):
        return False
    try:
        value = json.loads(octets)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and ("kty" in value or "keys" in value)
