"""Each refusal of a token or proof has a stable reason and its values, for the log."""

from __future__ import annotations

import re

import pytest

from tests.support.clock import NOW, Clock
from tests.support.forgery import claims, forge, signing
from tornado_app.auth.keys import KeySet
from tornado_app.auth.proofs import TYPE, ProofVerifier
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.identity import MAX_TOKEN
from tornado_app.core.model import Caller, Submission
from tornado_app.core.policies import ClaimNames

HS, RS, ES, STRANGER = signing("HS256", "h"), signing("RS256", "r"), signing("ES256", "e"), signing("RS256", "x", 9)
NAMES = ClaimNames(audiences=("aud", "client_id"))


def verifier(*keys, **settings) -> TokenVerifier:
    keys = keys or (HS, RS)
    settings = {"audience": ("leaderboard", "game"), "issuer": "https://id.example", "names": NAMES, **settings}
    return TokenVerifier(KeySet(key.public for key in keys), leeway=5, clock=Clock(), **settings)


def claim(**changes) -> str:
    return forge(HS, claims(**changes), {"alg": "HS256", "kid": "h"})


def headed(key=HS, **members) -> str:
    return forge(key, claims(), {"alg": key.algorithm.value, "kid": key.kid, **members})


TOKENS = {
    "no JWS": ("abc", "malformed", "three base64url parts"),
    "not ASCII": ("é", "malformed", "not ASCII"),
    "too long": ("a" * 8000, "too_long", f"8000 characters, limit {MAX_TOKEN}"),
    "header no JSON": (forge(HS, claims(), b"{"), "malformed", "not JSON"),
    "claims a list": (forge(HS, [1], {"alg": "HS256"}), "malformed", "not a JSON object"),
    "a member twice": (forge(HS, claims(), b'{"alg":"HS256","alg":"HS256"}'), "malformed", "named twice"),
    "kid a number": (headed(kid=7), "malformed", "kid is 7, not a string"),
    "alg none": (headed(alg="none"), "algorithm", 'had "none", wanted ES256 or HS256 or RS256'),
    "alg absent": (headed(alg=None), "algorithm", "had absent, wanted ES256"),
    "alg without a key": (headed(ES, kid=None), "algorithm", 'had "ES256", wanted HS256 or RS256'),
    "alg of another key": (headed(HS, kid="r"), "algorithm", 'had "HS256", wanted RS256'),
    "crit": (headed(crit=["exp"]), "header", "not supported: crit"),
    "typ of a proof": (headed(typ=TYPE), "type", re.escape(f'typ had "{TYPE}", wanted "at+jwt" or "jwt" or absent')),
    "unknown kid": (headed(STRANGER), "unknown_kid", 'kid "x", alg RS256, 2 keys known'),
    "signature": (headed(STRANGER, kid="r"), "signature", 'kid "r", alg RS256, 1 keys tried'),
    "signature without a kid": (headed(STRANGER, kid=None), "signature", "kid absent, alg RS256, 1 keys tried"),
    "audience": (
        claim(aud=["shop", "x"]),
        "audience",
        r'had aud \["shop", "x"\], client_id absent; wanted "game" or "le',
    ),
    "audience absent": (claim(aud=...), "audience", "had aud absent, client_id absent; wanted"),
    "issuer": (claim(iss="https://evil"), "issuer", 'had "https://evil", wanted "https://id.example"'),
    "issuer absent": (claim(iss=...), "issuer", "had absent, wanted"),
    "expired": (claim(exp=NOW - 12), "expired", "12 s ago, leeway 5 s"),
    "exp absent": (claim(exp=...), "invalid_claim", "exp is absent"),
    "exp text": (claim(exp="soon"), "invalid_claim", 'claim exp is "soon"'),
    "nbf to come": (claim(nbf=NOW + 35), "not_yet_valid", "valid in 30 s"),
    "sub a number": (claim(sub=103547991), "user_id", "claim sub is 103547991"),
    "sub absent": (claim(sub=...), "user_id", "claim sub is absent"),
    "sub with a space": (claim(sub=" a"), "user_id", 'claim sub is " a"'),
    "sub and user_id": (claim(user_id="bob"), "user_id_conflict", 'sub "ann", user_id "bob"'),
    "scope an object": (claim(scope={"a": 1}), "scope_claim", r'claim scope is \{"a": 1\}'),
    "a long value": (claim(sub="\n" + "x" * 500), "user_id", r'^claim sub is "\\nx{70,90}\.\.\.$'),
}


@pytest.mark.parametrize("name", TOKENS)
def test_refused_token_has_its_reason(name):
    token, reason, detail = TOKENS[name]
    with pytest.raises(LeaderboardError) as refusal:
        verifier().verify(token)
    assert refusal.value.reason == reason
    assert re.search(detail, refusal.value.detail), refusal.value.detail
    assert refusal.value.detail.isprintable()
    assert refusal.value.detail.isascii()


def test_refused_token_with_a_number_as_user_id_has_a_correct_reason():
    with pytest.raises(LeaderboardError, match=r"The user id of the token \(sub\) is a number; it must be a string\."):
        verifier().verify(claim(sub=103547991597142817347))


def test_refused_token_that_is_too_long_names_the_limit():
    with pytest.raises(LeaderboardError, match=f"The token has 8000 characters; at most {MAX_TOKEN} are accepted"):
        verifier().verify("a" * 8000)


def test_refused_token_before_the_first_keys_has_its_reason():
    for kid in (None, "r"):
        with pytest.raises(LeaderboardError) as refusal:
            TokenVerifier(KeySet(()), audience=None, issuer=None, clock=Clock()).verify(headed(RS, kid=kid))
        assert refusal.value.reason == "no_keys"


def test_refused_token_without_key_id_among_many_keys_has_its_reason():
    many = [signing("ES256", f"k{n}", n) for n in range(9)]
    with pytest.raises(LeaderboardError) as refusal:
        verifier(*many).verify(headed(many[0], kid=None))
    assert (refusal.value.reason, refusal.value.detail) == (
        "missing_kid",
        "9 keys for ES256, and without a kid 8 are tried",
    )


PROOF_HEADER = {"alg": "HS256", "typ": TYPE}


def proof(**changes) -> str:
    found = {"sub": "ann", "act": "boss", "pts": 7, "jti": "a-1", "iat": NOW, "exp": NOW + 60, **changes}
    return forge(HS, {name: value for name, value in found.items() if value is not ...}, PROOF_HEADER)


REQUEST = Submission(Caller("ann", NOW + 60), action_type="boss", action_id="a-1", points=7)
PROOFS = {
    "no JWS": ("abc", "malformed", "three base64url parts"),
    "too long": ("a" * 8000, "too_long", "8000 characters"),
    "a token": (headed(), "type", 'typ had absent, wanted "action-proof'),
    "signature": (forge(signing("HS256", number=3), claims(), PROOF_HEADER), "signature", "1 keys tried"),
    "no points": (proof(pts=0), "invalid_claim", "claim pts is 0"),
    "no sub": (proof(sub=...), "invalid_claim", "claim sub is absent"),
    "no iat": (proof(iat=...), "invalid_claim", "claim iat is absent"),
    "another player": (proof(sub="bob"), "other_player", 'proof for "bob", request for "ann"'),
    "another type": (proof(act="quest"), "other_action_type", 'proof for "quest", request for "boss"'),
    "another id": (proof(jti="a-2"), "other_action_id", 'proof for "a-2", request for "a-1"'),
    "other points": (proof(pts=8), "other_points", "proof for 8, request for 7"),
    "a score": (proof(pts=..., scr=7), "other_score", "proof for 7, request for absent"),
    "another board": (proof(brd="kart"), "other_board", 'proof for "kart", request for "main"'),
    "no board": (proof(brd="Kart"), "invalid_claim", 'claim brd is "Kart"'),
    "lifetime": (proof(exp=NOW + 90), "lifetime", "had 90 s, wanted more than 0 and at most 60 s"),
    "from the future": (proof(iat=NOW + 20), "not_yet_valid", r"issued 20 s ahead \(iat\), leeway 5 s"),
    "expired": (proof(iat=NOW - 70, exp=NOW - 10), "expired", "10 s ago"),
    "no points anywhere": (proof(pts=...), "unknown_action_type", 'type "boss"'),
}


@pytest.mark.parametrize("name", PROOFS)
def test_refused_proof_has_its_reason(name):
    text, reason, detail = PROOFS[name]
    check = ProofVerifier(KeySet([HS.public]), clock=Clock())
    with pytest.raises(LeaderboardError) as refusal:
        check.verify_submission(
            Submission(REQUEST.caller, action_type="boss", action_id="a-1", points=7, proof=text), {}, "main"
        )
    assert refusal.value.reason == reason
    assert re.search(detail, refusal.value.detail), refusal.value.detail
