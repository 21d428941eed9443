"""Action proofs: what a proof proves, for which player, for how long; and attempts to misuse one."""

from __future__ import annotations

import re
from contextlib import suppress
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clock import NOW, Clock
from tests.support.forgery import SECRET, forge, public_der, rsa_private_pem, signing
from tests.support.forgery import claims as token_claims
from tornado_app.auth.keys import KeySet, shared_keys, signing_secret
from tornado_app.auth.proofs import Proof, ProofVerifier, bind, sign_action
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.core.errors import ExpiredActionProof, InvalidActionProof, InvalidToken, UnknownActionType
from tornado_app.core.model import MAX_SCORE, Caller, Submission

KEY, TOKEN_KEY = signing("HS256", number=7), signing("HS256")
KEYS = KeySet([KEY.public, signing("RS256").public])
HEADER = {"alg": "HS256", "typ": "action-proof+jwt"}
ACTIONS = MappingProxyType({"level_complete": 50})


def claims(**changes):
    found = {"sub": "ann", "act": "level_complete", "pts": 50, "jti": "a-1", "iat": NOW, "exp": NOW + 60, **changes}
    return {name: value for name, value in found.items() if value is not ...}


def proof(**changes) -> str:
    return forge(KEY, claims(**changes), HEADER)


def headed(**changes) -> str:
    return forge(KEY, claims(), HEADER | changes)


def verifier(clock: Clock | None = None, **settings) -> ProofVerifier:
    return ProofVerifier(KEYS, clock=clock or Clock(), **settings)


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
def test_proof_of_a_signed_action_is_accepted(algorithm):
    key = signing(algorithm, "game-1")
    check = ProofVerifier(KeySet([key.public]), clock=Clock())
    text = sign_action(key, sub="ann", action_type="level_complete", points=5, action_id="a-1", clock=Clock(NOW + 0.9))
    assert check.verify(text) == Proof("ann", "level_complete", "a-1", NOW, NOW + 60, 5)
    text = sign_action(key, sub="ann", action_type="race", score=-5, action_id="a-1", clock=Clock())
    assert check.verify(text) == Proof("ann", "race", "a-1", NOW, NOW + 60, score=-5)
    text = sign_action(key, sub="ann", action_type="race", score=-5, action_id="a-1", board="kart", clock=Clock())
    assert check.verify(text) == Proof("ann", "race", "a-1", NOW, NOW + 60, score=-5, board="kart")
    text = sign_action(key, sub="ann", action_type="level_complete", clock=Clock())
    assert check.verify(text).points is None
    assert check.verify(text).id != check.verify(sign_action(key, sub="ann", action_type="x", clock=Clock())).id


ATTACKS = {
    "nothing": "",
    "too long": proof(pad="x" * 7168),
    "a token as proof": forge(TOKEN_KEY, token_claims()),
    "a token with a proof's typ": forge(TOKEN_KEY, token_claims() | claims(), HEADER),
    "a proof signed with the token's key": forge(TOKEN_KEY, claims(), HEADER),
    "no typ": forge(KEY, claims(), {"alg": "HS256"}),
    "typ JWT": headed(typ="JWT"),
    "typ null": headed(typ=None),
    "alg none": headed(alg="none"),
    "crit": headed(crit=["exp"]),
    "jwk of the signing key": forge(
        signing("HS256", number=8), claims(), HEADER | {"jwk": {"kty": "oct", "k": "AAAA"}}
    ),
    "jku": forge(signing("HS256", number=8), claims(), HEADER | {"jku": "https://evil.example"}),
    "zip": headed(zip="DEF"),
    "kid unknown": forge(signing("HS256", number=8), claims(), HEADER | {"kid": "../../x"}),
    "another key": forge(signing("HS256", number=8), claims(), HEADER),
    "claims changed": ".".join(
        (proof().split(".")[0], proof(pts=9999).split(".")[1], proof().split(".")[2]),
    ),
    "sub missing": proof(sub=...),
    "sub an operator": proof(sub={"$gt": ""}),
    "sub with a line end": proof(sub="ann\n"),
    "act missing": proof(act=...),
    "act empty": proof(act=""),
    "act a list": proof(act=["level_complete"]),
    "act of 129": proof(act="x" * 129),
    "jti missing": proof(jti=...),
    "jti empty": proof(jti=""),
    "jti an operator": proof(jti={"$ne": 1}),
    "jti a number": proof(jti=1),
    "jti with a space": proof(jti="a 1"),
    "jti of 129": proof(jti="x" * 129),
    "jti named twice": forge(KEY, b'{"jti":"a-1","jti":"a-2"}', HEADER),
    "pts zero": proof(pts=0),
    "pts negative": proof(pts=-5),
    "pts a float": proof(pts=5.5),
    "pts true": proof(pts=True),
    "pts a string": proof(pts="5"),
    "pts null": proof(pts=None),
    "pts past int64": proof(pts=MAX_SCORE + 1),
    "pts NaN": proof(pts=float("nan")),
    "brd empty": proof(brd=""),
    "brd null": proof(brd=None),
    "brd a list": proof(brd=["main"]),
    "brd in upper case": proof(brd="MAIN"),
    "brd with a line end": proof(brd="main\n"),
    "brd of 33": proof(brd="x" * 33),
    "brd with a dot": proof(brd="kart.x"),
    "iat missing": proof(iat=...),
    "exp missing": proof(exp=...),
    "exp Infinity": proof(exp=float("inf")),
    "exp a string": proof(exp=str(NOW + 60)),
    "lifetime too long": proof(exp=NOW + 60.5),
    "lifetime too long, begun long ago": proof(iat=NOW - 3600),
    "lifetime none": proof(exp=NOW),
    "lifetime negative": proof(exp=NOW + 1, iat=NOW + 4),
    "iat in the future": proof(iat=NOW + 5.5, exp=NOW + 60),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_proof_attack_is_refused_as_an_invalid_proof(name):
    with pytest.raises(InvalidActionProof) as refusal:
        verifier().verify(ATTACKS[name])
    assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", refusal.value.text), "fit for a header's quoted string"
    assert SECRET not in refusal.value.text


def test_proof_signed_by_hmac_with_the_public_key_is_refused():
    key = signing_secret(SECRET)
    key.key.prepared_key = public_der(rsa_private_pem())
    with pytest.raises(InvalidActionProof):
        verifier().verify(forge(key, claims(), HEADER))


def test_proof_is_not_a_token_even_with_one_key_for_both():
    check = TokenVerifier(KeySet([KEY.public]), audience=None, issuer=None, clock=Clock())
    with pytest.raises(InvalidToken):
        check.verify(proof())
    assert shared_keys(KeySet([KEY.public]), KeySet([signing("HS256", "other name", number=7).public]))


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (-6, InvalidActionProof),
        (-5, None),
        (0, None),
        (59.9, None),
        (60, ExpiredActionProof),
        (9e6, ExpiredActionProof),
    ],
)
def test_proof_is_valid_from_shortly_before_its_issue_until_its_expiry(now, outcome):
    check = verifier(Clock(NOW + now))
    if outcome is None:
        assert check.verify(proof()).id == "a-1"
    else:
        with pytest.raises(outcome):
            check.verify(proof())


def test_proof_validity_follows_a_clock_that_steps():
    clock = Clock()
    check = verifier(clock)
    check.verify(proof())
    clock.now = NOW + 3600
    with pytest.raises(ExpiredActionProof):
        check.verify(proof())
    clock.now = NOW - 3600
    with pytest.raises(InvalidActionProof):
        check.verify(proof())


PROOF = Proof("ann", "level_complete", "a-1", NOW, NOW + 60, 7)
TABLED = Proof("ann", "level_complete", "a-1", NOW, NOW + 60)


def submission(caller="ann", **named) -> Submission:
    return Submission(Caller(caller, NOW + 600), **named)


@pytest.mark.parametrize(
    ("given", "named", "points"),
    [
        (PROOF, {}, 7),
        (PROOF, {"points": 7}, 7),
        (PROOF, {"user_id": "ann", "action_type": "level_complete", "action_id": "a-1", "points": 7}, 7),
        (TABLED, {}, 50),
        (TABLED, {"points": 50}, 50),
    ],
)
def test_proof_fills_in_what_the_request_omits(given, named, points):
    bound = bind(given, submission(**named), ACTIONS)
    assert (bound.action_type, bound.id, bound.value) == ("level_complete", "a-1", points)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (PROOF, {"caller": "bob"}),
        (PROOF, {"caller": "bob", "user_id": "bob"}),
        (PROOF, {"user_id": "bob"}),
        (PROOF, {"action_type": "enemy_defeated"}),
        (PROOF, {"action_id": "a-2"}),
        (PROOF, {"points": 8}),
        (PROOF, {"points": 50}),
        (TABLED, {"points": 51}),
        (PROOF, {"action_type": ""}),
        (PROOF, {"action_id": ""}),
        (PROOF, {"points": 0}),
    ],
)
def test_proof_is_valid_for_one_player_type_id_and_points(given, named):
    with pytest.raises(InvalidActionProof):
        bind(given, submission(**named), ACTIONS)


SCORED = Proof("ann", "race", "a-1", NOW, NOW + 60, score=83_123)


def test_proof_of_a_score_is_valid_for_that_score():
    assert bind(SCORED, submission(score=83_123), ACTIONS).value == 83_123


@pytest.mark.parametrize(
    ("given", "named"), [(SCORED, {"score": 83_122}), (SCORED, {}), (SCORED, {"points": 83_123}), (PROOF, {"score": 7})]
)
def test_proof_of_a_score_and_proof_of_points_are_not_interchangeable(given, named):
    with pytest.raises(InvalidActionProof):
        bind(given, submission(**named), ACTIONS)


def test_proof_is_valid_for_one_board_and_without_a_claim_for_main():
    kart = verifier().verify(proof(brd="kart"))
    assert bind(kart, submission(), ACTIONS, "kart").id == "a-1"
    assert bind(verifier().verify(proof(brd="main")), submission(), ACTIONS, "main").id == "a-1"
    for other, board in ((kart, "main"), (kart, "chess"), (verifier().verify(proof()), "kart")):
        with pytest.raises(InvalidActionProof) as refusal:
            bind(other, submission(), ACTIONS, board)
        assert refusal.value.reason == "other_board"


def test_proof_of_a_game_server_is_valid_for_its_player():
    assert bind(PROOF, submission(caller="server", user_id="ann"), ACTIONS).id == PROOF.id


def test_proof_without_known_points_is_an_unknown_action_type():
    with pytest.raises(UnknownActionType):
        bind(TABLED, submission(), {})
    assert bind(PROOF, submission(), {}).value == 7


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"sub": "ann "}, "player"),
        ({"action_type": ""}, "action type"),
        ({"points": 0}, "integer of 1 or more"),
        ({"points": True}, "integer of 1 or more"),
        ({"score": 2**62}, "score of an action proof"),
        ({"score": 5, "points": 5}, "not for both"),
        ({"action_id": "a 1"}, "visible ASCII"),
        ({"board": "Kart"}, "name of a board"),
        ({"ttl": 0}, "more than 0"),
        ({"ttl": float("nan")}, "seconds since 1970"),
        ({"ttl": float("inf")}, "seconds since 1970"),
    ],
)
def test_proof_that_no_service_would_accept_is_not_signed(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        sign_action(KEY, **{"sub": "ann", "action_type": "level_complete", **arguments})


JSON = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
)


@given(st.sampled_from(["sub", "act", "pts", "jti", "iat", "exp"]), JSON)
@settings(max_examples=100)
def test_signed_proof_with_any_value_gives_a_proof_or_a_refusal(claim, value):
    with suppress(InvalidActionProof, ExpiredActionProof):
        found = verifier().verify(proof(**{claim: value}))
        assert isinstance(bind(found, submission(caller=found.player), ACTIONS | {found.action_type: 1}).value, int)


@given(st.text(max_size=300))
@settings(max_examples=100)
def test_unsigned_text_is_always_refused(text):
    with pytest.raises(InvalidActionProof):
        verifier().verify(text)
