"""Attacks that count one action more than once: concurrently, late, through other frontends, and by clock steps."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest
from pymongo import AsyncMongoClient

from tests.attacks.attack_env import write
from tests.support.clock import NOW, Clock
from tests.support.forgery import claims, forge, signing
from tests.support.frontends import WRITES
from tests.support.wait import wait_until
from tornado_app.auth import proofs
from tornado_app.auth.keys import KeySet
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.core.errors import ExpiredActionProof, ExpiredToken, InvalidActionProof, RateLimited
from tornado_app.core.model import Action, Profile
from tornado_app.mongo.players.store import MongoStore

EXPIRED = "expired_action_proof"


def test_concurrent_replays_over_two_processes_add_once(attack_env, user):
    """One proof, 40 times at once, through both processes: it counts once, and the rest are replays."""
    proof, token = attack_env.proof(user), attack_env.token(user)
    send = lambda service: service.post("/api/score", {"score": 7}, token=token, headers={"Action-Proof": proof})  # noqa: E731
    services = cycle((attack_env.service, attack_env.second_service))
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, [next(services) for _ in range(40)]))
    assert Counter(answer.headers.get("Idempotent-Replay") for answer in answers) == {None: 1, "true": 39}
    assert {answer.json["score"] for answer in answers} == {7}
    assert attack_env.score(user) == 7


def test_proof_used_through_every_frontend_adds_once(attack_env, user):
    """It is the same action through every frontend."""
    proof = attack_env.proof(user, act="level_complete", jti="level_complete:1", pts=7)
    for n, form in enumerate(WRITES):
        body = {
            "C": {"actionId": "level_complete:1", "actionType": "level_complete"},
            "D": {"user_id": user, "action_id": "level_complete:1"},
        }.get(form.name, form.body(user))
        service = (attack_env.service, attack_env.second_service)[n % 2]
        answer = service.call(
            form.method, form.path, body, token=attack_env.token(user), headers={"Action-Proof": proof}
        )
        assert answer.status in (200, 201), (form.name, answer)
        assert answer.headers.get("Idempotent-Replay") == ("true" if n else None)
    assert attack_env.score(user) == 7


def test_proof_replayed_after_its_lifetime_is_refused(attack_env, user):
    """The service may forget its id then, so the proof has expired."""
    expires = int(time.time()) + 2
    proof = attack_env.proof(user, exp=expires)
    assert write(attack_env, user, proof).status == 201
    assert write(attack_env, user, proof).headers["Idempotent-Replay"] == "true"
    wait_until(lambda: time.time() > expires, what="the proof's end")
    with attack_env.unchanged():
        answer = write(attack_env, user, proof)
        assert (answer.status, answer.json["error"]) == (403, EXPIRED)


def test_proof_cannot_be_pushed_out_of_the_history(attack_env, user):
    """After as many actions as the limit allows, the first id is still known."""
    first = attack_env.proof(user, pts=7)
    assert write(attack_env, user, first).status == 201
    answers = [write(attack_env, user, attack_env.proof(user)).status for _ in range(14)]
    assert answers.count(200) == 9
    assert answers.count(429) == 5
    with attack_env.unchanged():
        assert write(attack_env, user, first).headers["Idempotent-Replay"] == "true"


def test_id_used_again_for_more_points_is_refused(attack_env, user):
    assert write(attack_env, user, attack_env.proof(user, jti="twice")).status == 201
    with attack_env.unchanged():
        answer = write(attack_env, user, attack_env.proof(user, jti="twice", pts=900), score=900)
        assert (answer.status, answer.json["error"]) == (409, "action_conflict")


# -- a clock that steps: with a clock of the test's own, as a process's cannot be set -------------------


def test_proof_validity_follows_clock_steps_in_both_directions():
    clock, key = Clock(), signing("HS256")
    verifier = proofs.ProofVerifier(KeySet([key.public]), clock=clock)
    proof = proofs.sign_action(key, sub="ann", action_type="win", points=7, clock=Clock())
    verifier.verify(proof)
    clock.now = NOW + 3600
    with pytest.raises(ExpiredActionProof):
        verifier.verify(proof)
    clock.now = NOW - 3600
    with pytest.raises(InvalidActionProof, match="future"):
        verifier.verify(proof)
    clock.now = NOW + 30
    assert verifier.verify(proof).id, "good again: that it counts no second time is the memory of ids"


def test_cached_token_validity_follows_clock_steps_in_both_directions():
    clock, key = Clock(), signing("HS256")
    verifier = TokenVerifier(KeySet([key.public]), audience=None, issuer=None, clock=clock)
    token = forge(key, claims())
    verifier.verify(token)
    assert verifier.remembers(token)
    clock.now = NOW + 3600
    with pytest.raises(ExpiredToken):
        verifier.verify(token)


def action(number: int) -> Action:
    return Action("ann", 7, f"a-{number}", b"12345678", Profile(), create_player=True)


async def test_clock_step_back_does_not_reset_the_rate_limit(mongo_database):
    """A step back opens no new window: later actions still count, and their ids are still known."""
    uri, name = mongo_database
    clock = Clock(NOW * 1000)
    async with AsyncMongoClient(uri) as client:
        store = MongoStore(client, name, clock=lambda: int(clock.now))
        for number in range(10):
            await store.apply(action(number))
        for back in (1, 60, 3600, 86_400):
            clock.now = (NOW - back) * 1000
            with pytest.raises(RateLimited):
                await store.apply(action(99))
            assert (await store.apply(action(0))).replayed
        await store.close()


async def test_rate_limit_holds_over_processes_with_different_clocks(mongo_database):
    """The limit is looser by the difference only: a window of 60 seconds is one of 50."""
    uri, name = mongo_database
    first, second = Clock(NOW * 1000), Clock((NOW + 10) * 1000)
    async with AsyncMongoClient(uri) as client:
        stores = [MongoStore(client, name, clock=lambda clock=clock: int(clock.now)) for clock in (first, second)]
        for number in range(10):
            await stores[0].apply(action(number))
        second.now = (NOW + 59) * 1000
        with pytest.raises(RateLimited):
            await stores[1].apply(action(98))
        second.now = (NOW + 61) * 1000
        assert not (await stores[1].apply(action(99))).replayed
        for store in stores:
            await store.close()
