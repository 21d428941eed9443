"""Attacks on the limits: as another user, from another address, in another spelling, through every frontend."""

from __future__ import annotations

import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest

from tests.attacks.attack_env import LIMIT, RecordedConnection, body_and_proof, new_user
from tests.support.frontends import WRITES


def attempt(attack_env, service, form, user, token, **headers):
    body, proof = body_and_proof(attack_env, form, user)
    return service.call(form.method, form.path, body, token=token, headers={"Action-Proof": proof, **headers})


def test_rate_limit_holds_over_every_frontend_and_both_processes(attack_env, user):
    """60 valid updates, each with its own token, through all frontends of two processes: the limit holds."""
    jobs = [(service, form) for service in (attack_env.service, attack_env.second_service) for form in WRITES] * 5
    tokens = [attack_env.token(user, jti=secrets.token_hex(8)) for _ in jobs]

    def send(job, token):
        service, form = job
        return form.points, attempt(attack_env, service, form, user, token)

    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(send, jobs, tokens))
    assert Counter(answer.status in (200, 201) for _, answer in done) == {True: LIMIT, False: len(jobs) - LIMIT}
    refused = [answer for _, answer in done if answer.status not in (200, 201)]
    assert {(answer.status, answer.json["error"]) for answer in refused} == {(429, "rate_limited")}
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in refused)
    assert attack_env.score(user) == sum(points for points, answer in done if answer.status in (200, 201))


def test_rate_limit_holds_over_spellings_of_a_user_id(attack_env):
    """Each spelling is another user or invalid: none writes to the player or gets the player a new window."""
    user = f"Zoe-{new_user()}"
    token = attack_env.token(user)
    form = next(form for form in WRITES if form.name == "E")
    for _ in range(LIMIT):
        assert attempt(attack_env, attack_env.service, form, user, token).status in (200, 201)
    spellings = [
        user.lower(), user.upper(), f" {user}", f"{user} ", f"{user}\0", f"{user}%00", user.replace("o", "о"),
        user.replace("e", "ｅ"), user.replace("-", "‐"), f"{user}\u200b", f"{user}.", f"./{user}",
        user.replace("Z", "Ź"),
    ]  # fmt: skip
    with attack_env.unchanged():
        for service, spelling in zip(cycle((attack_env.service, attack_env.second_service)), spellings, strict=False):
            body = {**form.body(user), "user_id": spelling}
            headers = {"Action-Proof": attack_env.proof(user)}
            answer = service.post(form.path, body, token=token, headers=headers)
            assert answer.json["error"] in ("user_mismatch", "invalid_body"), spelling
            if spelling.isascii():
                continue
            assert service.get("/api/leaderboard", token=attack_env.token(spelling)).json["error"] == "invalid_token"
        assert attempt(attack_env, attack_env.second_service, form, user, token).status == 429


def test_rate_limit_holds_over_other_claims(attack_env, user):
    """A token that names the player by another claim is the same player."""
    form = WRITES[0]
    for n in range(LIMIT):
        token = attack_env.token(user) if n % 2 else attack_env.token(user, sub=..., user_id=user)
        assert attempt(attack_env, attack_env.service, form, user, token).status in (200, 201)
    with attack_env.unchanged():
        for token in (
            attack_env.token(user, sub=..., user_id=user),
            attack_env.token(user, user_id=user),
            attack_env.token(user),
        ):
            assert attempt(attack_env, attack_env.second_service, form, user, token).status == 429


def test_rate_limit_holds_over_client_addresses(attack_env, user):
    """The limit belongs to the player, whatever address the requests claim."""
    token = attack_env.token(user)
    statuses = [
        attempt(attack_env, attack_env.service, WRITES[0], user, token, **{"X-Forwarded-For": f"203.0.113.{n}"}).status
        for n in range(LIMIT + 5)
    ]
    assert statuses[LIMIT:] == [429] * 5


def test_rate_limit_holds_beside_replays(attack_env, user):
    """Replays are answered without limit, and add nothing."""
    token, proof = attack_env.token(user), attack_env.proof(user)
    for _ in range(LIMIT + 5):
        answer = attack_env.service.post("/api/score", {"score": 7}, token=token, headers={"Action-Proof": proof})
        assert answer.json["score"] == 7
    assert attack_env.score(user) == 7


def guess(service, *forwarded: str):
    with RecordedConnection(service) as wire:
        wire.send(
            "POST /api/score HTTP/1.1", *(f"X-Forwarded-For: {value}" for value in forwarded), "Content-Length: 0"
        )
        return wire.read().status


@pytest.fixture(scope="module")
def bare(attack_env):
    """A service without a proxy, with short timeouts."""
    return attack_env.run(env={"LEADERBOARD_AUTH_FAILURE_LIMIT": "5/1m"})


def test_failure_limit_ignores_a_forged_x_forwarded_for_without_a_proxy(attack_env, bare):
    """No header is trusted: all failures count for the address of the connection."""
    statuses = [guess(bare, f"2001:db8:{n}::1", f"203.0.113.{n}") for n in range(9)]
    assert statuses == [401] * 5 + [429] * 4
    assert bare.get("/api/top-scores").status == 200, "reading needs no credit"


BEHIND_A_PROXY = {
    "one before": ["203.0.113.{n}, {me}"],
    "a header before": ["203.0.113.{n}", "{me}"],
    "the proxy's own after": ["{me}, 127.0.0.1"],
    "two proxies' after": ["203.0.113.{n},{me},127.0.0.1,127.0.0.9"],
    "a port": ["{me}:{n}"],
    "an IPv6 dress": ["::ffff:{me}"],
    "the proxy's own before": ["127.0.0.1, {me}"],
    "a private one before": ["10.0.0.{n}, {me}"],
}


@pytest.mark.parametrize("way", BEHIND_A_PROXY)
def test_failure_limit_ignores_a_forged_x_forwarded_for_behind_a_proxy(attack_env, strict, way):
    """Addresses that the client sends before the proxy's own are ignored."""
    me = f"198.51.100.{100 + list(BEHIND_A_PROXY).index(way)}"
    statuses = [guess(strict, *(value.format(n=n, me=me) for value in BEHIND_A_PROXY[way])) for n in range(9)]
    assert statuses == [401] * 5 + [429] * 4


def test_failure_limit_covers_an_ipv6_network(attack_env, strict):
    """A customer has 2**64 addresses; they count as one."""
    statuses = [guess(strict, f"2001:db8:7:7:{n:x}::{n}") for n in range(9)]
    assert statuses == [401] * 5 + [429] * 4


def test_failure_limit_covers_sockets_and_rest_together(attack_env, strict):
    """They share one count; beyond it, valid and invalid tokens get the same response."""
    address = {"X-Forwarded-For": "198.51.100.90"}
    for _ in range(5):
        assert strict.get("/api/leaderboard", token="x.y.z", headers=address).status == 401
    good = attack_env.token(new_user())
    assert strict.get("/api/leaderboard", token=good, headers=address).status == 429
    assert strict.post("/api/score", {"score": 7}, token=good, headers=address).status == 429
    neighbour = {"X-Forwarded-For": "198.51.100.91"}
    assert strict.get("/api/leaderboard", token=good, headers=neighbour).status == 200
    assert strict.get("/api/leaderboard", token=good, headers=address).status == 200, "it is known now"


def test_score_does_not_overflow(attack_env):
    """A score beyond int64 is refused, not wrapped."""
    user, server = new_user(), attack_env.token("game-1", scope="scores:write")
    most = {"user_id": user, "score_increase": 2**63 - 1}
    assert attack_env.service.post("/api/v1/score", most, token=server).json["new_score"] == 2**63 - 1
    with attack_env.unchanged():
        answer = attack_env.second_service.post("/api/v1/score", {"user_id": user, "score_increase": 1}, token=server)
        assert (answer.status, answer.json["error"]) == (400, "invalid_increment")
