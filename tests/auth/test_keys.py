"""Accepted key material, and the error for other material."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from tests.support.forgery import SECRET, ec_private_pem, public_der, public_pem, rsa_private_pem, same_key, signing
from tornado_app.auth.key_parsing import UnusableKey
from tornado_app.auth.keys import (
    KeySet,
    public_key,
    public_keys,
    secret_key,
    shared_keys,
)


def certificate(private_pem: bytes) -> bytes:
    private = serialization.load_pem_private_key(private_pem, None)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "id.example")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return (
        x509.CertificateBuilder(name, name, private.public_key(), 7, start, start + datetime.timedelta(days=1))
        .sign(private, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def converted(private_pem: bytes, encoding: str, form: str, password: bytes | None = None) -> bytes:
    private = serialization.load_pem_private_key(private_pem, None)
    return private.private_bytes(
        getattr(serialization.Encoding, encoding),
        getattr(serialization.PrivateFormat, form),
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


def ssh(private_pem: bytes) -> bytes:
    private = serialization.load_pem_private_key(private_pem, None)
    return private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def der_with_line_break_at_its_end() -> bytes:
    return next(der for der in (public_der(ec_private_pem(number=n)) for n in range(10_000)) if der.endswith(b"\n"))


def pem_body(pem: bytes) -> bytes:
    return b"\n".join(line for line in pem.splitlines() if not line.startswith(b"-----"))


RSA, EC = rsa_private_pem(), ec_private_pem()

NOT_SECRETS = {
    "RSA PEM": public_pem(RSA),
    "EC PEM": public_pem(EC),
    "PEM with text before": b"# the key\n" + public_pem(RSA),
    "PEM in one line": public_pem(RSA).replace(b"\n", b" "),
    "PEM with a label of its own": b"-----BEGIN MY KEY-----\nc2VjcmV0LWtleS1vZi1teS1vd24\n-----END MY KEY-----",
    "PEM body": pem_body(public_pem(RSA)),
    "certificate": certificate(RSA),
    "certificate body": pem_body(certificate(EC)),
    "RSA DER": public_der(RSA),
    "EC DER": public_der(EC),
    "EC DER that ends with a line break": (LINE_BREAK_DER := der_with_line_break_at_its_end()),
    "EC DER that ends with a line break, and another": LINE_BREAK_DER + b"\n",
    "EC DER with a line break after it": public_der(EC) + b"\r\n",
    "certificate DER": base64.b64decode(pem_body(certificate(RSA))),
    "private PEM": RSA,
    "private DER": converted(RSA, "DER", "TraditionalOpenSSL"),
    "private DER, PKCS 8": converted(EC, "DER", "PKCS8"),
    "private DER, encrypted": converted(EC, "DER", "PKCS8", b"password"),
    "SSH": ssh(RSA),
    "JWK": json.dumps(signing("RS256").public.key.to_dict()).encode(),
    "JWKS": json.dumps({"keys": [signing("ES256").public.key.to_dict()]}).encode(),
}


@pytest.mark.parametrize("name", NOT_SECRETS)
def test_public_key_in_any_encoding_is_refused_as_a_secret(name):
    with pytest.raises(UnusableKey, match="where a shared secret is needed"):
        secret_key(NOT_SECRETS[name])


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ("", "has 0 bytes, HS256 needs 32"),
        ("secret", "has 6 bytes"),
        ("x" * 31 + "\n", "has 31 bytes"),
        ("change me " * 4, "placeholder"),
        ("x" * 64, "placeholder"),
        ("0123456789abcdef" * 2, "placeholder"),
        ("correct-horse-battery-" * 2 + "corr", "placeholder"),
    ],
)
def test_weak_secret_is_refused_with_the_remedy(secret, sentence):
    with pytest.raises(UnusableKey, match=sentence) as refusal:
        secret_key(secret)
    assert "openssl rand" in str(refusal.value)


@pytest.mark.parametrize(
    "secret", ["0123456789abcdefABCDEFGHIJKLMNOP", "\u00e4\u00f6\u00fc" * 5 + "abcdef", bytes(range(32)), SECRET]
)
def test_strong_secret_is_accepted(secret):
    assert secret_key(secret).algorithm == "HS256"


def test_line_end_of_a_secret_file_is_not_part_of_the_secret():
    assert same_key(secret_key(SECRET), secret_key(SECRET.encode() + b"\r\n"))
    assert not same_key(secret_key(SECRET), secret_key(SECRET + " "))


@pytest.mark.parametrize(
    ("pem", "algorithm"),
    [
        (public_pem(RSA), "RS256"),
        (public_pem(EC), "ES256"),
        (certificate(RSA), "RS256"),
        (certificate(EC), "ES256"),
        (public_pem(EC).decode(), "ES256"),
        (b"\n" + public_pem(RSA).replace(b"\n", b"\r\n"), "RS256"),
    ],
)
def test_algorithm_of_a_public_key_or_certificate_is_detected(pem, algorithm):
    key = public_key(pem, "k1")
    assert (key.algorithm, key.kid) == (algorithm, "k1")


def test_text_with_several_keys_has_all_of_them():
    both = public_keys(public_pem(RSA) + certificate(EC))
    assert [key.algorithm for key in both] == ["RS256", "ES256"]
    with pytest.raises(UnusableKey, match="2 keys for one key id"):
        public_keys(public_pem(RSA) + public_pem(EC), "k1")


ED25519 = ed25519.Ed25519PrivateKey.generate()
NOT_PUBLIC_KEYS = {
    "private": (RSA, "is a private key .* must not have it"),
    "private, old form": (converted(EC, "PEM", "TraditionalOpenSSL"), "is a private key"),
    "private, encrypted": (converted(RSA, "PEM", "TraditionalOpenSSL", b"password"), "is a private key"),
    "private beside public": (public_pem(RSA) + RSA, "is a private key"),
    "secret": (SECRET.encode(), "not a whole public key in PEM form"),
    "empty": (b"", "not a whole public key"),
    "cut": (public_pem(RSA)[:-30], "not a whole public key"),
    "one of two cut": (public_pem(RSA) + public_pem(EC)[:-30], "not a whole public key"),
    "rubbish in PEM": (
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "no public key that can be read",
    ),
    "parameters": (
        b"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----",
        "no public key that can be read",
    ),
    "RSA 1024": (public_pem(rsa_private_pem(1024)), "1024 bits; 2048 to 8192"),
    "P-384": (public_pem(ec_private_pem(ec.SECP384R1)), "secp384r1; ES256 needs P-256"),
    "secp256k1": (public_pem(ec_private_pem(ec.SECP256K1)), "secp256k1; ES256 needs P-256"),
    "Ed25519": (
        ED25519.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "neither RSA",
    ),
}


@pytest.mark.parametrize("name", NOT_PUBLIC_KEYS)
def test_unusable_public_key_is_refused_with_the_reason(name):
    pem, sentence = NOT_PUBLIC_KEYS[name]
    with pytest.raises(UnusableKey, match=sentence):
        public_key(pem)


@pytest.mark.parametrize("kid", ["", "k" * 129])
def test_key_id_is_bounded(kid):
    with pytest.raises(UnusableKey, match="1 to 128"):
        secret_key(SECRET, kid)


def test_repr_of_a_key_does_not_show_its_material():
    key = signing("HS256", "k1")
    for shown in (repr(key), repr(key.public), repr(KeySet([key.public])), str(key)):
        assert "k1" in shown
        assert SECRET not in shown
        assert key.public.fingerprint.hex() not in shown


def test_keys_are_equal_whatever_their_ids_and_encoding():
    assert same_key(public_key(public_pem(RSA), "a"), public_key(certificate(RSA), "b"))
    assert not same_key(public_key(public_pem(RSA)), public_key(public_pem(EC)))
    long = bytes(range(65))
    assert same_key(secret_key(long), secret_key(hashlib.sha256(long).digest())), "HMAC hashes a long key"
    assert same_key(secret_key(bytes(range(1, 33))), secret_key(bytes(range(1, 33)) + b"\0")), "HMAC pads a short one"


def test_key_sets_that_share_a_key_are_detected():
    a, b, c = (signing("HS256", number=n).public for n in range(3))
    assert shared_keys(KeySet([a, b]), KeySet([c, secret_key(SECRET + "1", "other name")]))
    assert not shared_keys(KeySet([a, b]), KeySet([c]))


def test_key_set_is_bounded():
    with pytest.raises(UnusableKey, match="65 keys"):
        KeySet(secret_key(f"{SECRET}{n}") for n in range(65))
