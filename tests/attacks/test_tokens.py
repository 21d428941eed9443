"""Attacks with invalid tokens, over REST and over sockets, each with a valid proof."""

from __future__ import annotations

import base64
import json
import select
import socket
import time
from collections.abc import Callable

import pytest
from jose import jwe

from tests.attacks.attack_env import AttackEnvironment, RecordedConnection, new_user
from tests.support.forgery import as_json, b64, forge, hmac_with, public_der, public_pem, rsa_private_pem, signing
from tests.support.websocket_client import opened

Build = Callable[[AttackEnvironment, str], str]
INVALID, EXPIRED = "invalid_token", "expired_token"


def header(alg: str = "HS256", kid: str | None = "hs", **members: object) -> Build:
    """Correctly signed with the provider's shared secret, whatever the header says."""
    found = {"alg": alg, "typ": "JWT", "kid": kid, **members}
    found = {name: value for name, value in found.items() if value is not None}
    return lambda attack_env, user: forge(attack_env.keys.hs, attack_env.claims(user), found)


def claim(**changes: object) -> Build:
    """Correctly signed, with these claims."""
    return lambda attack_env, user: attack_env.token(user, **changes)


def hmac(material: Callable[[bytes], bytes], **members: str) -> Build:
    """Signed by HMAC with the provider's public key as the secret: the confusion of CVE-2024-33663."""

    def build(attack_env: AttackEnvironment, user: str) -> str:
        key = hmac_with(material(attack_env.keys.rs_private))
        return forge(key, attack_env.claims(user), {"alg": "HS256", "typ": "JWT", **members})

    return build


def unsigned(alg: str) -> Build:
    return lambda attack_env, user: f"{b64(as_json({'alg': alg}))}.{b64(as_json(attack_env.claims(user)))}."


def written(text: str) -> Build:
    """Correctly signed, with these characters as the value of `exp`."""

    def build(attack_env: AttackEnvironment, user: str) -> str:
        claims = json.dumps(attack_env.claims(user, exp=0)).replace('"exp": 0', f'"exp": {text}')
        return forge(attack_env.keys.hs, claims.encode(), {"alg": "HS256", "kid": "hs"})

    return build


def encrypted(zip_: str | None, size: int) -> Build:
    """A five-part JWE under the very secret that the service holds."""

    def build(attack_env: AttackEnvironment, user: str) -> str:
        text = as_json(attack_env.claims(user, pad="0" * size))
        key = attack_env.keys.hs_secret[:32]
        return str(jwe.encrypt(text, key, algorithm="dir", encryption="A256GCM", zip=zip_).decode())

    return build


def tampered(attack_env: AttackEnvironment, user: str) -> str:
    first, _, last = attack_env.token("somebody").split(".")
    return f"{first}.{b64(as_json(attack_env.claims(user, scope='scores:write')))}.{last}"


def own_key(kid: str | None) -> Build:
    """Signed by the attacker's key, which is in the header."""

    def build(attack_env: AttackEnvironment, user: str) -> str:
        mine = signing("RS256", None, 7)
        return forge(mine, attack_env.claims(user), {"alg": "RS256", "kid": kid, "jwk": mine.public.key.to_dict()})

    return build


def own_certificate(attack_env: AttackEnvironment, user: str) -> str:
    mine = signing("RS256", None, 7)
    chain = [base64.b64encode(public_der(rsa_private_pem(number=7))).decode()]
    return forge(mine, attack_env.claims(user), {"alg": "RS256", "kid": "rs", "x5c": chain})


PEM_BODY = slice(1, -1)
ATTACKS: dict[str, Build] = {
    "alg none": unsigned("none"),
    "alg none in capitals": unsigned("NONE"),
    "alg none with a signature": header("none"),
    "alg not offered": header("HS512"),
    "alg a list": header(["HS256"]),  # type: ignore[arg-type]
    "HS/RS confusion with the PEM": hmac(public_pem),
    "HS/RS confusion with the PEM and the RSA key's id": hmac(public_pem, kid="rs"),
    "HS/RS confusion with the PEM and the secret's id": hmac(public_pem, kid="hs"),
    "HS/RS confusion with the DER": hmac(public_der),
    "HS/RS confusion with the DER and the RSA key's id": hmac(public_der, kid="rs"),
    "HS/RS confusion with the PEM's body": hmac(lambda pem: b"".join(public_pem(pem).splitlines()[PEM_BODY])),
    "HS/RS confusion with an empty secret": hmac(lambda pem: b""),
    "another's RSA key": lambda attack_env, user: attack_env.token(user, signing("RS256", "rs", 7)),
    "another's EC key": lambda attack_env, user: attack_env.token(user, signing("ES256", "es", 7)),
    "claims changed after signing": tampered,
    "crit unknown": header(crit=["exp"]),
    "crit b64": header(crit=["b64"], b64=False),
    "jwk embedded": own_key(None),
    "jwk embedded under a known id": own_key("rs"),
    "jwk embedded under an unknown id": own_key("mine"),
    "x5c embedded under a known id": own_certificate,
    "zip": header(zip="DEF"),
    "kid traversal to nothing": lambda attack_env, user: forge(
        hmac_with(b""), attack_env.claims(user), {"alg": "HS256", "kid": "../../../../../../dev/null"}
    ),
    "kid that asks the database": header(kid="hs' || '1'=='1"),
    "kid an operator": header(kid={"$gt": ""}),  # type: ignore[arg-type]
    "kid of 3000": header(kid="k" * 2800),
    "exp missing": claim(exp=...),
    "exp null": claim(exp=None),
    "exp true": claim(exp=True),
    "exp a string": claim(exp="9999999999"),
    "exp infinite": written("Infinity"),
    "exp 1e999": written("1e999"),
    "exp NaN": written("NaN"),
    "exp in milliseconds": claim(exp=4_000_000_000_000),
    "nbf to come": lambda attack_env, user: attack_env.token(user, nbf=time.time() + 300),
    "aud missing": claim(aud=...),
    "aud wrong": claim(aud="shop"),
    "aud a list of others": claim(aud=["shop", "leaderboard.evil"]),
    "iss missing": claim(iss=...),
    "iss wrong": claim(iss="https://id.example.evil"),
    "sub an operator": claim(sub={"$gt": ""}),
    "sub missing": claim(sub=...),
    "sub and user_id differ": claim(user_id="somebody-else"),
    "scope an object": claim(scope={"scores:write": True}),
    "nested in its claims": lambda attack_env, user: forge(
        attack_env.keys.hs, b"[" * 1400 + b"]" * 1400, {"alg": "HS256", "kid": "hs"}
    ),
    "nested in its header": lambda attack_env, user: f"{b64(b'[' * 2900)}.{b64(as_json(attack_env.claims(user)))}.AAAA",
    "more characters than are read": claim(pad="x" * 5500),
    "a token in a token": lambda attack_env, user: forge(
        attack_env.keys.hs, attack_env.token(user).encode(), {"alg": "HS256", "kid": "hs", "cty": "JWT"}
    ),
    "five-part JWE": encrypted(None, 0),
    "five-part JWE, a zip bomb": encrypted("DEF", 2_000_000),
    "a proof as a token": lambda attack_env, user: attack_env.proof(user),
    "a token signed with the proof key": lambda attack_env, user: forge(attack_env.keys.proof, attack_env.claims(user)),
    "a proof's claims signed as a token": lambda attack_env, user: forge(
        attack_env.keys.proof, attack_env.claims(user) | attack_env.proof_claims(user)
    ),
}  # fmt: skip


def write(attack_env: AttackEnvironment, service, user: str, token: str):
    return service.post("/api/score", {"score": 7}, token=token, headers={"Action-Proof": attack_env.proof(user)})


@pytest.fixture(scope="module", autouse=True)
def the_good_ones_are_let_in(attack_env):
    """Control: without the changes of the attacks, the token is accepted."""
    for key in (attack_env.keys.hs, attack_env.keys.rs, attack_env.keys.es):
        user = new_user()
        assert write(attack_env, attack_env.service, user, attack_env.token(user, key)).status == 201


def refused_everywhere(attack_env: AttackEnvironment, user: str, token: str, error: str) -> None:
    with attack_env.unchanged():
        for service in (attack_env.service, attack_env.second_service):
            for answer in (write(attack_env, service, user, token), service.get("/api/leaderboard", token=token)):
                assert (answer.status, answer.json["error"]) == (401, error)
                assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        with opened(attack_env.service, "/ws/leaderboard", headers={"Authorization": f"Bearer {token}"}) as watcher:
            assert watcher.ended() == (4401, error)
        if len(token) < 8100:
            with opened(attack_env.second_service, "/ws/leaderboard") as watcher:
                watcher.send(json.dumps({"type": "authenticate", "token": token}))
                assert watcher.ended() == (4401, error)


@pytest.mark.parametrize("attack", ATTACKS)
def test_forged_token_is_refused(attack_env, user, attack):
    refused_everywhere(attack_env, user, ATTACKS[attack](attack_env, user), INVALID)


def test_expired_token_is_refused(attack_env, user):
    refused_everywhere(attack_env, user, attack_env.token(user, exp=int(time.time()) - 60), EXPIRED)


@pytest.mark.parametrize("member", ["jku", "x5u"])
@pytest.mark.parametrize("kid", ["mine", "rs"])
def test_key_from_a_url_in_the_token_is_not_fetched(attack_env, user, member, kid):
    """The URL is not requested, neither for the attacker's token nor for a valid one that names it."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/jwks"
        mine = signing("RS256", None, 7)
        token = forge(mine, attack_env.claims(user), {"alg": "RS256", "kid": kid, member: url})
        refused_everywhere(attack_env, user, token, INVALID)
        good = forge(attack_env.keys.rs, attack_env.claims(user), {"alg": "RS256", "kid": "rs", member: url})
        assert write(attack_env, attack_env.service, user, good).status == 201
        assert not select.select([trap], [], [], 0)[0]


def test_kid_of_1_mb_is_refused(attack_env, user):
    token = forge(attack_env.keys.hs, attack_env.claims(user), {"alg": "HS256", "kid": "k" * 1_000_000})
    assert_refused_unread(attack_env, token)


@pytest.mark.parametrize("unit", ["a", ".", "eyJhbGciOiJIUzI1NiJ9.", "W1tb"])
def test_token_of_13_mb_is_refused(attack_env, unit):
    assert_refused_unread(attack_env, unit * (13_000_000 // len(unit)))


def assert_refused_unread(attack_env: AttackEnvironment, token: str) -> None:
    """The refusal comes before most of the token is sent."""
    with attack_env.unchanged(), RecordedConnection(attack_env.service) as wire:
        head = f"POST /api/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token[:200_000]}"
        wire.socket.sendall(head.encode())
        assert wire.read().error == "headers_too_large"


def test_long_tokens_cost_no_more_than_short_ones(attack_env, user):
    """InvalidJws before decoding: by the process's own time, the longest that fit a header against the shortest."""
    bad = {size: f"{b64(b'{' + b' ' * size)}.e30.AAAA" for size in (10, 3000, 5300)}
    costs = {size: min(cost(attack_env.service, token) for _ in range(5)) for size, token in bad.items()}
    assert costs[5300] < 4 * costs[10] + 1, costs


def cost(service, token: str) -> float:
    """Milliseconds of the service's CPU for 40 refusals."""
    before = service.cpu
    for _ in range(40):
        assert service.get("/api/leaderboard", token=token).json["error"] == INVALID
    return service.cpu - before


def test_guesses_with_other_headers_are_limited(attack_env, user):
    """Two headers, a list, another scheme, a token in the query of a write."""
    good = attack_env.token(user)
    body = b'{"score":7}'
    for lines in (
        [f"Authorization: Bearer {good}", "Authorization: Bearer x.y.z"],
        [f"Authorization: Bearer {good}, Bearer {good}"],
        [f"Authorization: Basic {good}"],
        [f"Authorization: {good}"],
        [f"Cookie: token={good}"],
        [f"X-Authorization: Bearer {good}"],
        [f"Proxy-Authorization: Bearer {good}"],
    ):
        with attack_env.unchanged(), RecordedConnection(attack_env.service) as wire:
            wire.send(
                f"POST /api/score?token={good}&access_token={good} HTTP/1.1", *lines,
                f"Action-Proof: {attack_env.proof(user)}", f"Content-Length: {len(body)}", body=body,
            )  # fmt: skip
            assert wire.read().status in (400, 401)
