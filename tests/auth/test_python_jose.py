"""Behaviour of python-jose that the service must prevent. Source: the installed package.

If one of these changes, a check of the service has lost its reason: see docs/security.md.
"""

from __future__ import annotations

import ast
import json

import pytest
from jose import backends, jwe, jwk, jws, jwt

from tests.support.forgery import SECRET, b64, forge, hmac_with, public_der, public_pem, rsa_private_pem, signing
from tests.support.project import ROOT

USED = {"jwk.construct", "jws.sign"}


def test_python_jose_uses_cryptography_only():
    """It uses neither ecdsa (CVE-2024-23342: a timing attack reveals the key) nor rsa, which it requires."""
    for kind in (backends.RSAKey, backends.ECKey, backends.HMACKey, backends.AESKey):
        assert kind.__module__ == "jose.backends.cryptography_backend"
    for algorithm in ("HS256", "RS256", "ES256"):
        key = signing(algorithm)
        assert type(key.key).__module__ == type(key.public.key).__module__ == "jose.backends.cryptography_backend"


def test_python_jose_parsers_are_not_called():
    """The service constructs keys and signs with it; client input reaches only the `verify` of a key."""
    used: set[str] = set()
    for path in (ROOT / "tornado_app").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "jose":
                assert {alias.name for alias in node.names} <= {"jwk", "jws"}, path
                imported |= {alias.asname or alias.name: alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jose."):
                assert node.module in ("jose.exceptions", "jose.backends.base"), path
            elif isinstance(node, ast.Import):
                assert not any(alias.name.split(".")[0] == "jose" for alias in node.names), path
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
                used.add(f"{imported[node.value.id]}.{node.attr}")
    assert used == USED


def test_python_jose_accepts_a_der_public_key_as_a_secret():
    """CVE-2024-33663 is fixed for PEM, not for DER and a PEM's body; the service's own check covers both."""
    pem = public_pem(rsa_private_pem())
    with pytest.raises(jwk.JWKError):
        jwk.construct(pem, "HS256")
    for form in (public_der(rsa_private_pem()), b"".join(pem.splitlines()[1:-1])):
        forged = forge(hmac_with(form), {"sub": "mallory"}, {"alg": "HS256"})
        assert jwt.decode(forged, form)["sub"] == "mallory", "one key and no list of algorithms: it is let in"


def test_python_jose_ignores_crit():
    """Issue 413 of its repository, against RFC 7515 section 4.1.11."""
    token = forge(signing("HS256"), {"sub": "ann"}, {"alg": "HS256", "crit": ["unknown"], "unknown": 1})
    assert jws.verify(token, SECRET + "0", "HS256")


def test_python_jose_raises_overflow_error_for_an_infinite_exp():
    token = forge(signing("HS256"), json.dumps({"exp": 0}).replace("0", "Infinity").encode(), {"alg": "HS256"})
    with pytest.raises(OverflowError):
        jwt.decode(token, SECRET + "0")


@pytest.mark.parametrize("part", ["header", "claims"])
def test_python_jose_raises_recursion_error_for_a_nested_token(part):
    nested = b"[" * 100_000 + b"]" * 100_000
    token = f"{b64(nested)}.e30.AA" if part == "header" else forge(signing("HS256"), nested, {"alg": "HS256"})
    with pytest.raises(RecursionError):
        jwt.decode(token, SECRET + "0")


def test_python_jose_bounds_a_zip_bomb_that_never_reaches_it():
    """CVE-2024-33664: since 3.4 it inflates 250 KiB at most; here no JWE is read at all."""
    bomb = jwe.encrypt(b"0" * 2_000_000, SECRET[:32], algorithm="dir", encryption="A256GCM", zip="DEF")
    assert len(bomb) < 4096, "it would fit a header"
    with pytest.raises(jwe.JWEError, match="exceeds"):
        jwe.decrypt(bomb, SECRET[:32])
