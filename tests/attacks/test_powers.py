"""Attacks on rights: those of game servers and moderators, and suspensions."""

from __future__ import annotations

import json

import pytest

from tests.attacks.attack_env import body_and_proof, new_user
from tests.support.frontends import WRITES

VERBS = ("suspend", "reinstate", "hide", "show", "take-back", "erase")

NOT_A_SCOPE = [
    "", "scores", "scores:read", "SCORES:WRITE", "scores:write,leaderboard:admin", "scores:write2", " scores:writе",
    "scores:write\u00a0leaderboard:admin", "*", "admin", "leaderboard:*", "scores:write\tleaderboard:admin",
    ["scores:write leaderboard:admin"], ["Scores:Write"], None,
]  # fmt: skip


def moderate(attack_env, user, verb, **members):
    """As a moderator."""
    token = attack_env.token("mod-1", scope="leaderboard:admin")
    body = {"reason": "cheats", **members}
    answer = attack_env.service.post(f"/api/v1/admin/players/{user}/{verb}", body, token=token)
    assert answer.status in (200, 204), answer
    return answer


@pytest.mark.parametrize("scope", NOT_A_SCOPE, ids=repr)
def test_scope_that_only_looks_similar_grants_nothing(attack_env, user, scope):
    """It stays a player's token: no updates for others, and none without a proof."""
    victim, token = new_user(), attack_env.token(user, scope=scope)
    with attack_env.unchanged():
        body = {"user_id": victim, "score_increase": 7}
        assert attack_env.service.post("/api/v1/score", body, token=token).json["error"] == "user_mismatch"
        assert attack_env.service.post("/api/score", {"score": 7}, token=token).json["error"] == "action_proof_required"
        answer = attack_env.service.call("PUT", f"/api/v1/players/{victim}", {"username": "x"}, token=token)
        assert answer.json["error"] == "user_mismatch"


@pytest.mark.parametrize("claim", ["scopes", "Scope", "SCP", "roles", "permissions", "admin", "is_admin", "groups"])
def test_other_claim_grants_no_scope(attack_env, user, claim):
    token = attack_env.token(user, **{claim: ["scores:write", "leaderboard:admin"]})
    with attack_env.unchanged():
        body = {"user_id": new_user(), "score_increase": 7}
        assert attack_env.service.post("/api/v1/score", body, token=token).json["error"] == "user_mismatch"


def test_proof_grants_no_scope(attack_env, user):
    """Claims of a proof beyond its action are ignored."""
    proof = attack_env.proof(user, scope="scores:write leaderboard:admin", user_id=new_user())
    token = attack_env.token(user)
    with attack_env.unchanged():
        body = {"user_id": new_user(), "score_increase": 7}
        answer = attack_env.service.post("/api/v1/score", body, token=token, headers={"Action-Proof": proof})
        assert answer.json["error"] == "user_mismatch"


def test_write_for_another_player_is_refused_by_every_frontend(attack_env, user):
    """Under each name that a body may have for a player."""
    victim = new_user()
    for form in WRITES:
        for name in ("user_id", "userId"):
            body, proof = body_and_proof(attack_env, form, user)
            if form.name != "C" and name == "userId":
                continue  # it means nothing there
            with attack_env.unchanged():
                answer = attack_env.service.call(
                    form.method, form.path, {**body, name: victim}, token=attack_env.token(user),
                    headers={"Action-Proof": proof},
                )  # fmt: skip
                assert (answer.status, answer.json["error"]) == (403, "user_mismatch"), (form.name, name)


@pytest.mark.parametrize("verb", [*VERBS, "export"])
def test_moderation_without_the_scope_is_refused(attack_env, verb):
    """As a player, as the player concerned, as a game server, and without a token."""
    victim = new_user()
    assert (
        attack_env.service.post(
            "/api/score",
            {"score": 7},
            token=attack_env.token(victim),
            headers={"Action-Proof": attack_env.proof(victim)},
        ).status
        == 201
    )
    path, method = f"/api/v1/admin/players/{victim}/{verb}", "GET" if verb == "export" else "POST"
    body = None if verb == "export" else {"reason": "because", **({"action_id": "a"} if verb == "take-back" else {})}
    callers = {"player": attack_env.token(new_user()), "game server": attack_env.token("game-1", scope="scores:write")}
    if verb != "export":
        callers["oneself"] = attack_env.token(victim)  # one's own data are one's own
    with attack_env.unchanged():
        for service in (attack_env.service, attack_env.second_service):
            for token in callers.values():
                answer = service.call(method, path, body, token=token)
                assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")
            assert service.call(method, path, body).json["error"] == "missing_token"
            assert service.call(method, path, body, token="x.y.z").json["error"] == "invalid_token"


def test_suspended_player_cannot_score(attack_env, user):
    """Through every frontend of both processes, with proofs, by the player and by the game server."""
    token, server = attack_env.token(user), attack_env.token("game-1", scope="scores:write")
    first = {"Action-Proof": attack_env.proof(user)}
    assert attack_env.service.post("/api/score", {"score": 7}, token=token, headers=first).status == 201
    moderate(attack_env, user, "suspend")
    with attack_env.unchanged():
        for service in (attack_env.service, attack_env.second_service):
            for form in WRITES:
                for caller in (token, server):
                    body, proof = body_and_proof(attack_env, form, user)
                    if caller is server:
                        body["user_id"] = user
                    answer = service.call(form.method, form.path, body, token=caller, headers={"Action-Proof": proof})
                    assert (answer.status, answer.json["error"]) == (403, "player_suspended"), form.name
        again = attack_env.second_service.post("/api/score", {"score": 7}, token=token, headers=first)
        assert again.headers["Idempotent-Replay"] == "true", "what was counted before is answered, and adds nothing"


def test_profile_change_does_not_end_a_suspension(attack_env, user):
    """Registering again changes only the name."""
    attack_env.service.call("PUT", f"/api/v1/players/{user}", {"username": "Ann"}, token=attack_env.token(user))
    moderate(attack_env, user, "suspend")
    moderate(attack_env, user, "hide")
    body = {"username": "Bea", "suspended": False, "hidden": False, "score": 900}
    assert attack_env.service.call("PUT", f"/api/v1/players/{user}", body, token=attack_env.token(user)).status == 200
    document = attack_env.players()[user]
    assert (document["suspended"], document["hidden"], document["score"]) == (True, True, 0)
    assert document["ownUsername"] == "Bea"


def score(attack_env, service, user, proof):
    return service.post("/api/score", {"score": 7}, token=attack_env.token(user), headers={"Action-Proof": proof})


def test_replay_of_a_reversed_action_adds_nothing(attack_env, user):
    """The proof is still valid and its action still known: it stays reversed."""
    proof, other = attack_env.proof(user, jti="one"), attack_env.proof(user, jti="two")
    assert score(attack_env, attack_env.service, user, proof).status == 201
    assert score(attack_env, attack_env.service, user, other).json["score"] == 14
    assert moderate(attack_env, user, "take-back", action_id="one").json["score"] == 7
    with attack_env.unchanged():
        for service in (attack_env.service, attack_env.second_service):
            again = score(attack_env, service, user, proof)
            assert again.headers["Idempotent-Replay"] == "true"
    assert attack_env.score(user) == 7


def test_history_of_another_player_is_refused(attack_env, user):
    """No other player and no game server may read it, whether the player exists or not."""
    assert score(attack_env, attack_env.service, user, attack_env.proof(user)).status == 201
    for token in (attack_env.token(new_user()), attack_env.token("game-1", scope="scores:write")):
        for whose in (user, new_user()):
            for path in (f"/api/v1/players/{whose}/history", f"/api/v1/admin/players/{whose}/export"):
                answer = attack_env.second_service.get(path, token=token)
                assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")
                assert user not in json.dumps(answer.json)


def test_moderation_by_an_operator_in_the_body_is_refused(attack_env, user):
    """The selection must be a text or a time, and the reason a text."""
    assert score(attack_env, attack_env.service, user, attack_env.proof(user)).status == 201
    admin, path = attack_env.token("mod-1", scope="leaderboard:admin"), f"/api/v1/admin/players/{user}"
    with attack_env.unchanged():
        for body in (
            {"reason": {"$ne": ""}}, {"reason": ["x"]}, {"reason": ""}, {"reason": "x" * 501}, {},
            {"reason": "x", "action_id": {"$ne": None}}, {"reason": "x", "since": {"$gt": ""}},
            {"reason": "x", "since": "0"}, {"reason": "x", "since": "2026-01-01"}, {"reason": "x"},
        ):  # fmt: skip
            answer = attack_env.service.post(f"{path}/take-back", body, token=admin)
            assert (answer.status, answer.json["error"]) == (400, "invalid_body"), body
        for action_id in ("$ne", ".*", "j-*", "%24ne"):
            answer = attack_env.service.post(f"{path}/take-back", {"reason": "x", "action_id": action_id}, token=admin)
            assert (answer.status, answer.json["error"]) == (404, "action_not_found")
