"""Keys made for the tests, and tokens put together byte by byte, as an attacker does."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk
from jose.backends.base import Key

from tests.support.clock import NOW
from tornado_app.auth.keys import SigningKey, VerificationKey, public_key, signing_secret

SECRET = "a-secret-of-the-tests-0123456789-abcdefghijklmnop"


def rsa_private_pem(bits: int = 2048, number: int = 0) -> bytes:
    return _rsa(bits, number)


def ec_private_pem(curve: type[ec.EllipticCurve] = ec.SECP256R1, number: int = 0) -> bytes:
    return _ec(curve, number)


def signing(algorithm: str, kid: str | None = None, number: int = 0) -> SigningKey:
    """A key for each algorithm; `number` distinguishes several of one algorithm."""
    if algorithm == "HS256":
        return signing_secret(SECRET + str(number), kid)
    return signing_key(_rsa(2048, number) if algorithm == "RS256" else _ec(ec.SECP256R1, number), kid)


def signing_key(private_pem: bytes, kid: str | None = None) -> SigningKey:
    """An RS256 or ES256 key that signs, which the service itself never has."""
    public = public_key(public_pem(private_pem), kid)
    return SigningKey(_signer(private_pem, public.algorithm.value), public)


def same_key(one: VerificationKey, other: VerificationKey) -> bool:
    """Whether both have the same key material, whatever their ids."""
    return one.fingerprint == other.fingerprint


@cache  # each reading of an RSA key checks its primes
def public_pem(private_pem: bytes) -> bytes:
    private = serialization.load_pem_private_key(private_pem, None)
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@cache
def _signer(private_pem: bytes, algorithm: str) -> Key:
    return jwk.construct(private_pem, algorithm)


def public_der(private_pem: bytes) -> bytes:
    private = serialization.load_pem_private_key(private_pem, None)
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def as_json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def forge(key: SigningKey, claims: Any, header: Any = None) -> str:
    """A token with exactly these bytes, correctly signed by `key`, whatever its header and claims are."""
    header = {"alg": key.algorithm.value, "typ": "JWT"} if header is None else header
    signed = f"{b64(as_json(header))}.{b64(as_json(claims))}"
    return f"{signed}.{b64(key.key.sign(signed.encode()))}"


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that every verifier of the tests accepts, with changes; `...` removes a claim."""
    found = {"sub": "ann", "exp": NOW + 60, "iat": NOW, "aud": "leaderboard", "iss": "https://id.example", **changes}
    return {name: value for name, value in found.items() if value is not ...}


@cache
def _rsa(bits: int, number: int) -> bytes:
    return _pem(rsa.generate_private_key(65537, bits))


@cache
def _ec(curve: type[ec.EllipticCurve], number: int) -> bytes:
    return _pem(ec.generate_private_key(curve()))


def _pem(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def hmac_with(material: bytes) -> SigningKey:
    """A key that signs by HMAC with a public key's bytes, which the service (and python-jose, for PEM) refuses."""
    key = signing_secret(SECRET)
    key.key.prepared_key = material
    return key
