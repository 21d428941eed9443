"""Attacks with a valid token and an invalid proof: forged, another player's, changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from jose import jwe

from tests.attacks.attack_env import AttackEnvironment, RecordedConnection, body_and_proof, new_user, write
from tests.support.forgery import as_json, b64, forge, hmac_with, public_der, signing
from tests.support.frontends import WRITES
from tornado_app.auth import proofs
from tornado_app.core.identity import MAX_TOKEN

Build = Callable[[AttackEnvironment, str], str]
INVALID, REQUIRED = "invalid_action_proof", "action_proof_required"
HEADER = {"alg": "HS256", "typ": proofs.TYPE}


def header(**members: object) -> Build:
    return lambda attack_env, user: forge(attack_env.keys.proof, attack_env.proof_claims(user), {**HEADER, **members})


def claim(**changes: object) -> Build:
    return lambda attack_env, user: attack_env.proof(user, **changes)


def signed_by(key: Callable[[AttackEnvironment], object]) -> Build:
    return lambda attack_env, user: forge(key(attack_env), attack_env.proof_claims(user), HEADER)  # type: ignore[arg-type]


def times(issued: float, expires: float) -> Build:
    """A proof of that time, in seconds from now."""
    return lambda attack_env, user: attack_env.proof(user, iat=time.time() + issued, exp=time.time() + expires)


def written(text: str) -> Build:
    def build(attack_env: AttackEnvironment, user: str) -> str:
        claims = json.dumps(attack_env.proof_claims(user, exp=0)).replace('"exp": 0', f'"exp": {text}')
        return forge(attack_env.keys.proof, claims.encode(), HEADER)

    return build


def unsigned(attack_env: AttackEnvironment, user: str) -> str:
    return f"{b64(as_json({**HEADER, 'alg': 'none'}))}.{b64(as_json(attack_env.proof_claims(user)))}."


def nobody_signed(attack_env: AttackEnvironment, user: str) -> str:
    """If the key were read from the file that `kid` names, this signature would be valid."""
    return forge(hmac_with(b""), attack_env.proof_claims(user), {**HEADER, "kid": "../../../../../dev/null"})


def encrypted(attack_env: AttackEnvironment, user: str) -> str:
    text = as_json(attack_env.proof_claims(user, pad="0" * 2_000_000))
    secret = attack_env.keys.proof_secret[:32]
    return str(jwe.encrypt(text, secret, algorithm="dir", encryption="A256GCM", zip="DEF").decode())


FORGED: dict[str, Build] = {
    "no JWS": lambda attack_env, user: "trust me",
    "alg none": unsigned,
    "alg not offered": header(alg="HS512"),
    "the player's own token": lambda attack_env, user: attack_env.token(user),
    "a token's type": header(typ="JWT"),
    "no type": header(typ=None),
    "crit": header(crit=["exp"]),
    "jwk embedded": lambda attack_env, user: forge(
        hmac_with(b"evil"), attack_env.proof_claims(user), {**HEADER, "jwk": {"kty": "oct", "k": b64(b"evil")}}
    ),
    "kid traversal to nothing": nobody_signed,
    "signed with the tokens' shared secret": signed_by(lambda attack_env: attack_env.keys.hs),
    "signed with the tokens' RSA key": lambda attack_env, user: forge(
        attack_env.keys.rs, attack_env.proof_claims(user), {"alg": "RS256", "typ": proofs.TYPE}
    ),
    "signed with the tokens' public key": signed_by(
        lambda attack_env: hmac_with(public_der(attack_env.keys.rs_private))
    ),
    "signed with an empty secret": signed_by(lambda attack_env: hmac_with(b"")),
    "signed with another secret": signed_by(lambda attack_env: signing("HS256", number=5)),
    "another player's": lambda attack_env, user: attack_env.proof(new_user()),
    "of a player whose name differs in case": lambda attack_env, user: attack_env.proof(user.upper()),
    "of nobody": claim(sub=...),
    "of an operator": claim(sub={"$ne": None}),
    "without a type of action": claim(act=...),
    "without an id": claim(jti=...),
    "an id that is an operator": claim(jti={"$gt": ""}),
    "an id with a NUL": claim(jti="a\0b"),
    "points of another number": claim(pts=8),
    "points of 0": claim(pts=0),
    "points below 0": claim(pts=-7),
    "points as text": claim(pts="7"),
    "points as 7.5": claim(pts=7.5),
    "points true": claim(pts=True),
    "points null": claim(pts=None),
    "points past int64": claim(pts=2**63),
    "points an operator": claim(pts={"$inc": 7}),
    "that never ends": claim(exp=...),
    "that ends at infinity": written("Infinity"),
    "that ends at 1e999": written("1e999"),
    "that ends at NaN": written("NaN"),
    "that ends at a text": claim(exp="9999999999"),
    "that lives a year": times(0, 365 * 86400),
    "that lives 61 seconds": times(0, 61),
    "that ends before it begins": times(0, -10),
    "from the future": times(30, 60),
    "without a beginning": claim(iat=...),
    "nested": lambda attack_env, user: forge(attack_env.keys.proof, b"[" * 1300 + b"]" * 1300, HEADER),
    "a five-part JWE, a zip bomb": encrypted,
}  # fmt: skip


@pytest.mark.parametrize("attack", FORGED)
def test_forged_proof_is_refused(attack_env, user, attack):
    proof = FORGED[attack](attack_env, user)
    with attack_env.unchanged():
        for by in ("header", "body"):
            answer = write(attack_env, user, proof, by=by)
            assert (answer.status, answer.json["error"]) == (403, INVALID)


def test_proof_beyond_the_maximum_length_is_refused(attack_env, user):
    """Correctly signed, and too long."""
    proof = attack_env.proof(user, pad="x" * 5400)
    assert MAX_TOKEN < len(proof) < 8000
    with attack_env.unchanged():
        assert write(attack_env, user, proof).json["error"] == INVALID
        assert write(attack_env, user, proof, by="body").json["error"] == "invalid_body"


def test_valid_proof_is_counted(attack_env, user):
    """Control: without the changes of the attacks, the proof is accepted."""
    assert write(attack_env, user, attack_env.proof(user)).json["score"] == 7
    assert write(attack_env, user, attack_env.proof(user), by="body").json["score"] == 14


@pytest.mark.parametrize("form", WRITES, ids=lambda form: form.name)
def test_missing_proof_is_refused_by_every_frontend(attack_env, user, form):
    with attack_env.unchanged():
        for service in (attack_env.service, attack_env.second_service):
            answer = service.call(form.method, form.path, form.body(user), token=attack_env.token(user))
            assert (answer.status, answer.json["error"]) == (403, REQUIRED)


@pytest.mark.parametrize("form", WRITES, ids=lambda form: form.name)
def test_proof_with_a_changed_body_is_refused_by_every_frontend(attack_env, user, form):
    """The proof is valid, and the request differs from it."""
    victim = new_user()
    body, proof = body_and_proof(attack_env, form, user)
    changes: list[tuple[dict[str, object], str]] = [({"user_id": victim}, "user_mismatch")]
    if form.field:
        changes += [({form.field: form.points + 1}, INVALID)]
    if form.name == "B":
        changes += [({"action_type": "enemy_defeated"}, INVALID)]
    if form.name == "C":
        changes += [({"actionType": "enemy_defeated"}, INVALID), ({"actionId": "another"}, INVALID)]
    if form.name == "D":
        changes += [({"action_id": "enemy_defeated:1"}, INVALID), ({"action_id": "level_complete:another"}, INVALID)]
    with attack_env.unchanged():
        for change, error in changes:
            answer = attack_env.service.call(
                form.method, form.path, body | change, token=attack_env.token(user), headers={"Action-Proof": proof}
            )
            assert (answer.status, answer.json["error"]) == (403, error), change
        if not form.carries_id:
            answer = attack_env.service.call(
                form.method, form.path, body, token=attack_env.token(user),
                headers={"Action-Proof": proof, "Idempotency-Key": "another"},
            )  # fmt: skip
            assert (answer.status, answer.json["error"]) == (403, INVALID)


def test_request_with_two_proofs_is_refused(attack_env, user):
    good, other = attack_env.proof(user), attack_env.proof(user)
    with attack_env.unchanged():
        for lines, error in (
            ([f"Action-Proof: {good}", f"Action-Proof: {other}"], "invalid_request"),
            ([f"Action-Proof: {good},{other}"], INVALID),
            ([f"Action-Proof: {good} {other}"], INVALID),
        ):
            with RecordedConnection(attack_env.service) as wire:
                auth = f"Authorization: Bearer {attack_env.token(user)}"
                wire.send("POST /api/score HTTP/1.1", auth, *lines, "Content-Length: 11", body=b'{"score":7}')
                assert wire.read().error == error


def test_proof_of_13_mb_is_refused(attack_env, user):
    """In the header and in the body: refused before all of it is sent."""
    for head in (
        "POST /api/score HTTP/1.1\r\nHost: x\r\nAction-Proof: ",
        'POST /api/score HTTP/1.1\r\nHost: x\r\nContent-Length: 13000000\r\n\r\n{"score":7,"proof":"',
    ):
        with attack_env.unchanged(), RecordedConnection(attack_env.service) as wire:
            wire.socket.sendall(head.encode() + b"a" * 200_000)
            assert wire.read().status in (413, 431)
