"""The keys of a JWK Set that are used, and their use."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.clock import Clock
from tests.support.forgery import b64, claims, ec_private_pem, forge, rsa_private_pem, same_key, signing, signing_key
from tests.support.jwks import jwk, jwks
from tornado_app.auth.jwks import SkippedKeys, parse_jwks
from tornado_app.auth.key_loading import jwks_file
from tornado_app.auth.key_parsing import UnusableKey
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.core.errors import InvalidToken

RS, ES, HS = signing("RS256", "r"), signing("ES256", "e"), signing("HS256", "h")


def found(content: bytes, **settings) -> list[tuple[str | None, str]]:
    return [(key.kid, key.algorithm.value) for key in parse_jwks(content, **settings).keys]


def test_jwk_set_keys_are_used_each_with_its_own_algorithm():
    keys = parse_jwks(jwks(RS, ES))
    assert [(key.kid, key.algorithm) for key in keys.keys] == [("r", "RS256"), ("e", "ES256")]
    assert all(same_key(key, other.public) for key, other in zip(keys.keys, (RS, ES), strict=True))
    check = TokenVerifier(keys, audience=None, issuer=None, clock=Clock())
    for key in (RS, ES):
        assert check.verify(forge(key, claims(), {"alg": key.algorithm.value, "kid": key.kid})).user_id == "ann"
    with pytest.raises(InvalidToken):
        check.verify(forge(ES, claims(), {"alg": "ES256", "kid": "r"}))


@pytest.mark.parametrize(
    ("entry", "used"),
    [
        (jwk(RS, alg=...), [("r", "RS256")]),
        (jwk(ES, alg=...), [("e", "ES256")]),
        (jwk(RS, use=...), [("r", "RS256")]),
        (jwk(RS, kid=...), [(None, "RS256")]),
        (jwk(RS, key_ops=["verify"]), [("r", "RS256")]),
        (jwk(RS, x5c=["AAAA"], x5t="AAAA", issuer="x"), [("r", "RS256")]),
        (jwk(RS, use="enc"), []),
        (jwk(RS, key_ops=["encrypt"]), []),
        (jwk(RS, key_ops="verify"), []),
        (jwk(RS, alg="RS512"), []),
        (jwk(RS, alg="PS256"), []),
        (jwk(RS, alg="HS256"), []),
        (jwk(RS, alg="RSA-OAEP"), []),
        (jwk(RS, alg=None), [("r", "RS256")]),
        (jwk(RS, alg=""), [("r", "RS256")]),
        (jwk(RS, use=None), [("r", "RS256")]),
        (jwk(RS, use=""), [("r", "RS256")]),
        (jwk(RS, key_ops=[]), [("r", "RS256")]),
        (jwk(RS, key_ops=None), [("r", "RS256")]),
        (jwk(RS, x5c=[], x5t="", x5u=None), [("r", "RS256")]),
        (jwk(RS, d=None, p=None, q="", oth=[]), [("r", "RS256")]),
        (jwk(RS, kid=None), [(None, "RS256")]),
        (jwk(RS, kid=""), [(None, "RS256")]),
        (jwk(ES, crv="P-256", alg=None, use=None, key_ops=[], d=None), [("e", "ES256")]),
        (jwk(RS, kty="oct"), []),
        (jwk(RS, kty=["RSA"]), []),
        ({"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(32)), "kid": "o"}, []),
        ({"kty": "EC", "crv": "P-384", "x": b64(bytes(48)), "y": b64(bytes(48))}, []),
        ({}, []),
    ],
)
def test_jwk_use_and_alg_decide_the_use_of_a_key(entry, used):
    assert found(jwks(entry, signing("ES256", "other", 1))) == [*used, ("other", "ES256")]


PRIVATE = signing_key(rsa_private_pem(), "p").key.to_dict()
WRONG = {
    "a private key": (PRIVATE, "private key; everyone who has read it"),
    "a private EC key": (signing_key(ec_private_pem()).key.to_dict(), "private key"),
    "a shared secret": (jwk(HS), "no longer one once it is published"),
    "no object": ("RSA", "not a JSON object"),
    "kid a number": (jwk(RS, kid=7), "key id is not a string"),
    "kid too long": (jwk(RS, kid="k" * 129), "1 to 128 characters"),
    "a private key without d": ({name: PRIVATE[name] for name in PRIVATE if name != "d"}, "private key"),
    "n missing": (jwk(RS, n=...), "member n is missing"),
    "n a number": (jwk(RS, n=7), "member n is missing"),
    "n padded": (jwk(RS, n=b64(bytes(255)) + "="), "member n is missing"),
    "n of 100,000 bits": (jwk(RS, n=b64(b"\xff" * 12_500)), "member n is missing"),
    "n of 1024 bits": (jwk(signing_key(rsa_private_pem()), n=b64(b"\xff" * 128)), "1024 bits"),
    "e even": (jwk(RS, e=b64(b"\x02")), "not a valid key"),
    "e zero": (jwk(RS, e=b64(b"\0")), "not a valid key"),
    "e of a kilobyte": (jwk(RS, e=b64(b"\xff" * 1000)), "not a valid key"),
    "point off the curve": (jwk(ES, x=b64(b"\1" * 32)), "not a valid key"),
    "y a list": (jwk(ES, y=["AAAA"]), "member y is missing"),
    "numbers of P-384": (jwk(ES, x=b64(b"\2" * 48), y=b64(b"\3" * 48)), "not a valid key"),
}


@pytest.mark.parametrize("name", WRONG)
def test_unusable_jwk_is_skipped_with_a_warning(name, caplog):
    entry, sentence = WRONG[name]
    with pytest.raises(UnusableKey, match=sentence):
        parse_jwks(jwks(entry))
    assert found(jwks(entry, signing("ES256", "other", 1)), skipped=SkippedKeys()) == [("other", "ES256")]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert re.search(rf"Key (number 0|.*) of the JWK Set is skipped: .*{sentence}", caplog.text)
    for member in ("d", "k"):
        assert not isinstance(entry, dict) or member not in entry or entry[member] not in caplog.text


def test_skipped_jwk_is_logged_once_with_kid_and_reason(caplog):
    caplog.set_level("INFO")
    of_no_use = {
        "enc": (jwk(RS, kid="enc", use="enc"), 'not for signatures (use "enc")'),
        "ops": (jwk(RS, kid="ops", key_ops=["encrypt"]), 'not for verification (key_ops ["encrypt"])'),
        "oaep": (jwk(RS, kid="oaep", alg="RSA-OAEP"), 'It is for "RSA-OAEP"; a key of its kind is used for RS256'),
        "ed": ({"kty": "OKP", "crv": "Ed25519", "kid": "ed"}, "neither RSA, nor EC on P-256"),
        "line\nend": (jwk(RS, kid="line\nend", use="enc"), "not for signatures"),
    }
    skipped, content = SkippedKeys(), jwks(ES, *(entry for entry, _ in of_no_use.values()))
    for _ in range(3):
        parse_jwks(content, skipped=skipped)
    assert [record.levelname for record in caplog.records] == ["INFO"] * len(of_no_use)
    for message, (kid, (_, reason)) in zip(caplog.messages, of_no_use.items(), strict=True):
        assert message.startswith(f"Key {json.dumps(kid)} of the JWK Set is skipped: ")
        assert reason in message
    moved = [entry for entry, _ in reversed(of_no_use.values())]
    parse_jwks(jwks(jwk(RS, kid="new", use="enc"), *moved, ES), skipped=skipped)
    assert caplog.messages[len(of_no_use) :] == [
        'Key "new" of the JWK Set is skipped: It is not for signatures (use "enc").'
    ]


def test_skipped_jwks_of_one_kid_or_none_are_all_logged(caplog):
    caplog.set_level("INFO")
    same = [jwk(RS, kid="k", use="enc"), jwk(RS, kid="k", alg="PS256"), jwk(RS, kid=None, use="enc"), "RSA"]
    parse_jwks(jwks(ES, *same), skipped=SkippedKeys())
    assert [message.partition(" of the")[0] for message in caplog.messages] == [
        'Key "k"',
        'Key "k"',
        "Key number 3",
        "Key number 4",
    ]


def test_jwk_set_without_a_usable_key_is_refused_with_the_reason():
    with pytest.raises(UnusableKey, match=r'Key "p": It is a private key'):
        parse_jwks(jwks(jwk(RS, use="enc"), PRIVATE | {"kid": "p"}))
    with pytest.raises(UnusableKey, match=r'no key for RS256 or ES256 signatures. Key "r": It is not for'):
        parse_jwks(jwks(jwk(RS, use="enc")))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"keys": {}}',
        b'{"keys": null}',
        b'{"keys": []}',
        b'{"keys": [], "keys": []}',
        b'{"error": "down"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"keys":' * 50_000,
        b'{"keys": [NaN]}',
        json.dumps(jwk(RS)).encode(),
        jwks(*(jwk(RS, kid=str(n)) for n in range(65))),
    ],
)
def test_invalid_jwk_set_is_refused(content):
    with pytest.raises(UnusableKey):
        parse_jwks(content)


def test_jwk_set_file_with_secrets_is_read_again_after_a_change(tmp_path):
    clock, path = Clock(), tmp_path / "jwks.json"
    odd = {"kty": "oct", "k": b64(bytes(range(40, 80)) + b"\r\n"), "kid": "odd"}
    path.write_bytes(jwks(HS, odd))
    source = jwks_file(path, clock=clock)
    assert [key.kid for key in source.current().keys] == ["h", "odd"]
    assert same_key(source.current().keys[0], HS.public)
    assert source.current().keys[1].key.to_dict()["k"] == odd["k"], "a line end in a JWK's secret is part of it"
    path.write_bytes(b"{}")
    clock.now += 1
    assert [key.kid for key in source.current().keys] == ["h", "odd"]
    path.write_bytes(jwks(ES))
    clock.now += 1
    assert [key.kid for key in source.current().keys] == ["e"]


@pytest.mark.parametrize("k", [b64(b"short"), "A", "AAAAA", "!" * 43, "", None])
def test_jwk_set_file_with_a_weak_secret_is_refused(k):
    with pytest.raises(UnusableKey):
        parse_jwks(jwks({"kty": "oct", "k": k}), secrets=True)
