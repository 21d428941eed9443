"""One row for each attack with an invalid token."""

from __future__ import annotations

import json
import re
import time
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jose import jwe

from tests.support.clock import NOW, Clock
from tests.support.forgery import (
    SECRET,
    as_json,
    b64,
    claims,
    ec_private_pem,
    forge,
    hmac_with,
    public_der,
    public_pem,
    rsa_private_pem,
    signing,
)
from tornado_app.auth.keys import KeySet
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.core.errors import ExpiredToken, InvalidToken
from tornado_app.core.identity import MAX_TOKEN

HS, RS, ES = signing("HS256"), signing("RS256"), signing("ES256", "es")
GOOD = forge(HS, claims())


def verifier() -> TokenVerifier:
    keys = KeySet([HS.public, RS.public, ES.public])
    return TokenVerifier(keys, audience="leaderboard", issuer="https://id.example", clock=Clock())


def claims_text(text: str) -> str:
    """A correctly signed token with these characters as its claims."""
    return forge(HS, text.encode())


def header(**changes) -> str:
    return forge(HS, claims(), {"alg": "HS256", "typ": "JWT", **changes})


def own(**members) -> str:
    """Signed by a key of the attacker's, which these members of the header lead to."""
    return forge(signing("RS256", number=1), claims(), {"alg": "RS256", "kid": "mine", **members})


def unsigned(header: object, payload: bytes, signature: bytes) -> str:
    return f"{b64(as_json(header))}.{b64(payload)}.{b64(signature)}"


def spliced(part: int, text: str) -> str:
    parts = GOOD.split(".")
    parts[part] = text
    return ".".join(parts)


ATTACKS = {
    "nothing": "",
    "dots": "..",
    "alg none": forge(HS, claims(), {"alg": "none"}),
    "alg none, no signature": unsigned({"alg": "none"}, as_json(claims()), b""),
    "alg None, in capitals": forge(HS, claims(), {"alg": "NONE"}),
    "no alg": forge(HS, claims(), {"typ": "JWT"}),
    "alg a list": forge(HS, claims(), {"alg": ["HS256"]}),
    "alg an object": forge(HS, claims(), {"alg": {"$gt": ""}}),
    "alg null": forge(HS, claims(), {"alg": None}),
    "alg not offered": forge(HS, claims(), {"alg": "HS512"}),
    "alg named twice": forge(HS, claims(), b'{"alg":"none","alg":"HS256"}'),
    "HMAC with the RSA key's PEM": forge(hmac_with(public_pem(rsa_private_pem())), claims(), {"alg": "HS256"}),
    "HMAC with the RSA key's PEM, stripped": forge(
        hmac_with(public_pem(rsa_private_pem()).strip()), claims(), {"alg": "HS256"}
    ),
    "HMAC with the RSA key's DER": forge(hmac_with(public_der(rsa_private_pem())), claims(), {"alg": "HS256"}),
    "HMAC with the EC key's DER and kid": forge(
        hmac_with(public_der(ec_private_pem())), claims(), {"alg": "HS256", "kid": "es"}
    ),
    "HMAC with an empty secret": forge(hmac_with(b""), claims(), {"alg": "HS256"}),
    "RSA signature under ES256": forge(RS, claims(), {"alg": "ES256"}),
    "another secret": forge(signing("HS256", number=1), claims()),
    "another RSA key": forge(signing("RS256", number=1), claims()),
    "another EC key": forge(signing("ES256", number=1), claims()),
    "EC signature of zeros": unsigned({"alg": "ES256"}, as_json(claims()), bytes(64)),
    "EC signature in DER": unsigned({"alg": "ES256"}, as_json(claims()), bytes([48, 6, 2, 1, 1, 2, 1, 1])),
    "crit unknown": header(crit=["exp"]),
    "crit empty": header(crit=[]),
    "b64 off": header(b64=False, crit=["b64"]),
    "b64 off, without a word in crit": header(b64=False),
    "jku": own(jku="https://evil.example/jwks"),
    "x5u": own(x5u="https://evil.example/cert"),
    "x5c": own(x5c=["MIIB"]),
    "jwk of a shared secret": forge(
        hmac_with(b"evil"), claims(), {"alg": "HS256", "jwk": {"kty": "oct", "k": b64(b"evil")}}
    ),
    "jwk of the signing key with a known kid": forge(
        signing("ES256", number=1),
        claims(),
        {"alg": "ES256", "kid": "es", "jwk": signing("ES256", number=1).public.key.to_dict()},
    ),
    "jwk of the signing key": forge(
        signing("RS256", number=1), claims(), {"alg": "RS256", "jwk": signing("RS256", number=1).public.key.to_dict()}
    ),
    "zip": header(zip="DEF"),
    "zip bomb as claims": unsigned({"alg": "HS256", "zip": "DEF"}, zlib.compress(bytes(2_000_000)), bytes(32)),
    "typ of a proof": header(typ="action-proof+jwt"),
    "typ of a logout token": header(typ="logout+jwt"),
    "typ a list": header(typ=["JWT"]),
    "kid traversal": forge(ES, claims(), {"alg": "ES256", "kid": "../../../../dev/null"}),
    "kid SQL": forge(ES, claims(), {"alg": "ES256", "kid": "' OR 1=1 --"}),
    "kid with a line end": forge(ES, claims(), {"alg": "ES256", "kid": "es\r\nlog: forged"}),
    "kid an object": forge(ES, claims(), {"alg": "ES256", "kid": {"$gt": ""}}),
    "kid empty": forge(ES, claims(), {"alg": "ES256", "kid": ""}),
    "kid of 129": forge(ES, claims(), {"alg": "ES256", "kid": "k" * 129}),
    "kid of 1 MB": forge(ES, claims(), {"alg": "ES256", "kid": "k" * 1_000_000}),
    "five-part JWE": jwe.encrypt(as_json(claims()), SECRET[:32], algorithm="dir", encryption="A256GCM").decode(),
    "two parts": GOOD.rpartition(".")[0],
    "four parts": GOOD + ".AAAA",
    "no signature": GOOD.rpartition(".")[0] + ".",
    "no header": spliced(0, ""),
    "claims changed": spliced(1, b64(as_json(claims(sub="bob")))),
    "claims empty": spliced(1, ""),
    "signature cut": GOOD[:-4],
    "padding": GOOD + "=",
    "not base64url": spliced(2, GOOD.rpartition(".")[2].replace(GOOD[-3], "+")),
    "white space around": f" {GOOD}",
    "a line end after": f"{GOOD}\n",
    "junk inside the signature": f"{GOOD[:-5]}!{GOOD[-5:]}",
    "not ASCII": f"{GOOD[:-1]}\u0410",
    "a NUL": f"{GOOD}\0",
    "header not UTF-8": forge(HS, claims(), b'{"alg":"HS256","x":"\xff"}'),
    "header with a BOM": forge(HS, claims(), b'\xef\xbb\xbf{"alg":"HS256"}'),
    "header a list": forge(HS, claims(), ["HS256"]),
    "header nested": unsigned(b"[" * 5000, as_json(claims()), bytes(32)),
    "claims nested": forge(HS, b'{"a":' * 580),
    "claims nested and closed": forge(HS, b"[" * 1400 + b"]" * 1400),
    "claims a list": forge(HS, [claims()]),
    "claims a string": forge(HS, "ann"),
    "claims a token": forge(HS, GOOD.encode(), {"alg": "HS256", "cty": "JWT"}),
    "claims named twice": claims_text('{"sub":"ann","sub":"bob",' + json.dumps(claims(sub=...))[1:]),
    "exp missing": forge(HS, claims(exp=...)),
    "exp null": forge(HS, claims(exp=None)),
    "exp a string": forge(HS, claims(exp=str(NOW + 60))),
    "exp true": forge(HS, claims(exp=True)),
    "exp a list": forge(HS, claims(exp=[NOW + 60])),
    "exp Infinity": forge(HS, claims(exp=float("inf"))),
    "exp -Infinity": forge(HS, claims(exp=float("-inf"))),
    "exp NaN": forge(HS, claims(exp=float("nan"))),
    "exp 1e999": claims_text(json.dumps(claims(exp=0)).replace('"exp": 0', '"exp": 1e999')),
    "exp of 2000 digits": claims_text(json.dumps(claims(exp=0)).replace('"exp": 0', '"exp": ' + "9" * 2000)),
    "exp negative": forge(HS, claims(exp=-1)),
    "exp in milliseconds": forge(HS, claims(exp=(NOW + 60) * 1000)),
    "nbf null": forge(HS, claims(nbf=None)),
    "NaN in a claim that is not read": forge(HS, claims(score=float("nan"))),
    "nbf a string": forge(HS, claims(nbf="0")),
    "nbf Infinity": forge(HS, claims(nbf=float("inf"))),
    "nbf to come": forge(HS, claims(nbf=NOW + 30)),
    "iat NaN": forge(HS, claims(iat=float("nan"))),
    "iat a string": forge(HS, claims(iat="now")),
    "iat to come": forge(HS, claims(iat=NOW + 3600, exp=NOW + 7200)),
    "aud missing": forge(HS, claims(aud=...)),
    "aud wrong": forge(HS, claims(aud="shop")),
    "iss missing": forge(HS, claims(iss=...)),
    "iss wrong": forge(HS, claims(iss="https://id.example.evil")),
    "iss a list": forge(HS, claims(iss=["https://id.example"])),
    "sub missing": forge(HS, claims(sub=...)),
    "sub empty": forge(HS, claims(sub="")),
    "sub a number": forge(HS, claims(sub=7)),
    "sub an operator": forge(HS, claims(sub={"$gt": ""})),
    "sub with a space before": forge(HS, claims(sub=" ann")),
    "sub with a space after": forge(HS, claims(sub="ann ")),
    "sub of a space": forge(HS, claims(sub=" ")),
    "sub with a tab": forge(HS, claims(sub="an\tn")),
    "sub with a DEL": forge(HS, claims(sub="ann\x7f")),
    "sub true": forge(HS, claims(sub=True)),
    "sub and user_id differ in case": forge(HS, claims(user_id="Ann")),
    "sub with a NUL": forge(HS, claims(sub="ann\0")),
    "sub with a line end": forge(HS, claims(sub="ann\n")),
    "sub not ASCII": forge(HS, claims(sub="\u0430nn")),
    "sub of 256": forge(HS, claims(sub="a" * 256)),
    "sub and user_id differ": forge(HS, claims(user_id="bob")),
    "user_id an operator": forge(HS, claims(user_id={"$ne": None})),
    "scope an object": forge(HS, claims(scope={"scores:write": True})),
    "scope a list of lists": forge(HS, claims(scope=[["scores:write"]])),
    "too long by one": "a" * (MAX_TOKEN + 1),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_token_attack_is_refused_as_an_invalid_token(name):
    with pytest.raises(InvalidToken) as refusal:
        verifier().verify(ATTACKS[name])
    assert refusal.value.__cause__ is None
    assert SECRET not in refusal.value.text
    assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", refusal.value.text), "fit for WWW-Authenticate (RFC 6750)"


@pytest.mark.parametrize(
    "name", ["kid of 129", "kid empty", "kid an object", "alg none", "alg not offered", "crit unknown"]
)
def test_malformed_token_causes_no_key_fetch(name):
    with pytest.raises(InvalidToken) as refusal:
        verifier().verify(ATTACKS[name])
    assert type(refusal.value) is InvalidToken


def test_valid_token_that_is_too_long_is_refused():
    with pytest.raises(InvalidToken):
        verifier().verify(forge(HS, claims(pad="x" * MAX_TOKEN)))


KEY_HEADERS = {
    "jku": "https://evil.example/jwks",
    "x5u": "https://evil.example/cert",
    "x5c": ["MIIB"],
    "jwk": {"kty": "oct", "k": b64(b"evil")},
}


@pytest.mark.parametrize("member", KEY_HEADERS)
@pytest.mark.parametrize("empty", [False, True])
def test_header_that_names_a_key_is_ignored_in_a_token_of_a_known_key(member, empty):
    """Some providers send such a header, such as UAA's own `jku`. The configured key is used nevertheless."""
    assert verifier().verify(header(**{member: None if empty else KEY_HEADERS[member]})).user_id == "ann"


def test_valid_token_behind_the_attacks_is_accepted():
    assert verifier().verify(GOOD).user_id == "ann"


@pytest.mark.parametrize("unit", ["a", ".", "eyJ.", "W1tb"])
def test_token_of_13_mb_is_refused_before_decoding(unit):
    token = unit * (13_000_000 // len(unit))
    check = verifier()
    start = time.perf_counter()
    for _ in range(100):
        with pytest.raises(InvalidToken):
            check.verify(token)
    assert (time.perf_counter() - start) / 100 < 0.001


def test_token_of_the_maximum_size_is_accepted():
    assert MAX_TOKEN >= 7 * 1024
    room = MAX_TOKEN - len(forge(HS, claims(pad="")))
    sized = (forge(HS, claims(pad="x" * n)) for n in range(room * 3 // 4 - 4, room))
    token = next(t for t in sized if len(t) >= MAX_TOKEN - 1)
    assert len(token) <= MAX_TOKEN
    assert verifier().verify(token).user_id == "ann"


def test_cached_token_in_another_encoding_is_refused():
    check = verifier()
    check.verify(GOOD)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for letter in alphabet.replace(GOOD[-1], ""):
        with pytest.raises(InvalidToken):
            check.verify(GOOD[:-1] + letter)


@given(st.one_of(st.text(max_size=300), st.from_regex(r"[\w-]{0,80}\.[\w-]{0,80}\.[\w-]{0,80}")))
@settings(max_examples=100)
def test_unsigned_text_is_always_refused(token):
    with pytest.raises(InvalidToken):
        verifier().verify(token)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = ["sub", "user_id", "exp", "nbf", "iat", "aud", "iss", "name", "preferred_username", "picture", "scope"]


@given(st.sampled_from(["alg", "typ", "kid", "crit", "cty"]), JSON, st.sampled_from(NAMES), JSON)
@settings(max_examples=100)
def test_signed_token_with_any_value_gives_a_caller_or_a_refusal(member, value, claim, other):
    token = forge(HS, claims(**{claim: other}), {"alg": "HS256", member: value})
    with suppress(InvalidToken, ExpiredToken):
        assert verifier().verify(token).user_id == "ann" or claim in ("sub", "user_id")
