"""Key material as people hand it over: checked, and refused with a sentence that says what to do.

Nothing here puts a part of a key into a message.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate
from jose import jwk
from jose.exceptions import JWKError

PublicKey = RSAPublicKey | EllipticCurvePublicKey

MIN_SECRET = 32
"""Bytes of an HS256 secret: as many as the hash has (RFC 7518 section 3.2)."""

MIN_DISTINCT = 10
"""Different bytes a secret must hold; 32 random bytes, hex or base64 digits practically always have more."""

RSA_BITS = range(2048, 8193)
"""RFC 7518 section 3.3 for the least; past the most, one check costs milliseconds."""

_HOW_TO_MAKE = "Make one with: openssl rand -base64 48"
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----[^-]*-----END \1-----")
_PEM_START = re.compile(rb"-{2,5} ?BEGIN ", re.IGNORECASE)
_DER_LOADERS: tuple[Callable[[bytes], object], ...] = (
    serialization.load_der_public_key,
    load_der_x509_certificate,
    lambda der: serialization.load_der_private_key(der, None),
)


class UnusableKey(ValueError):
    """A key that cannot or must not be used; the message tells an operator why and what to do."""


def secret(text: str | bytes, *, exact: bool = False) -> bytes:
    """The bytes of a shared secret, without the line end that editors add unless `exact`; raises UnusableKey."""
    octets = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if not exact:
        octets = octets.rstrip(b"\r\n")
    if _is_public_material(octets):
        raise UnusableKey(
            "This is a key, certificate or JWK where a shared secret is needed: whoever has the public key could sign "
            "tokens with it. Configure it as a public key (or a JWKS) instead."
        )
    if len(octets) < MIN_SECRET:
        raise UnusableKey(f"The secret has {len(octets)} bytes, HS256 needs {MIN_SECRET} or more. {_HOW_TO_MAKE}")
    if len(set(octets)) < MIN_DISTINCT or _repeats(octets):
        raise UnusableKey(f"The secret repeats itself, as a placeholder does. {_HOW_TO_MAKE}")
    return octets


def public_keys(pem: str | bytes) -> list[PublicKey]:
    """The public keys of a PEM text, certificates' included; raises UnusableKey. A certificate's dates are not read."""
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


def private_key(pem: str | bytes) -> tuple[bytes, PublicKey]:
    """An RSA or P-256 private key as PKCS #8 PEM, and its public half; raises UnusableKey."""
    octets = pem.encode("utf-8", "surrogateescape") if isinstance(pem, str) else pem
    try:
        private = serialization.load_pem_private_key(octets, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableKey("This is not an unencrypted private key in PEM form.") from None
    if not isinstance(private, RSAPrivateKey | EllipticCurvePrivateKey):
        raise UnusableKey("Only RSA and P-256 private keys can sign here.")
    form = serialization.PrivateFormat.PKCS8
    text = private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return text, _checked(private.public_key())


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
    """`public`, where it is RSA of a fit size or on P-256."""
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
    """Whether this is a shorter text at least twice over."""
    return any(octets.startswith(octets[period:]) for period in range(1, len(octets) // 2 + 1))


def _is_public_material(octets: bytes) -> bool:
    """Whether this is an asymmetric key in any usual dress: PEM, DER, a PEM's body alone, SSH or JWK."""
    if _PEM_START.search(octets) or _is_jwk(octets) or _is_der(octets):
        return True
    try:
        if _is_der(base64.b64decode(b"".join(octets.split()), validate=True)):
            return True
    except binascii.Error:
        pass  # not base64, so no PEM body
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
                return True  # an encrypted private key: it asks for the password
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
