"""Abuse rules on a running service: a broken rule is counted and logged, and suspends the player if configured."""

import pytest
from pymongo import MongoClient

from tests.support.service import token
from tests.support.wait import wait_until


@pytest.fixture(scope="module")
def strict(run_service, module_database):
    uri, name = module_database
    flags = ("--max-points-per-window", "100", "--auto-suspend", "--rate-limit", "100/1m")
    return run_service(*flags, uri=uri, database=name)


def score(service, user, points, **options):
    return service.post("/api/score", {"score": points}, token=token(user), **options)


def test_points_beyond_the_cap_are_refused_logged_and_suspend_the_player(strict):
    assert score(strict, "greedy", 60).status == 201
    refused = score(strict, "greedy", 60)
    assert (refused.status, refused.json["error"]) == (403, "suspicious_activity")
    assert strict.get("/api/v1/players/greedy").json["score"] == 60
    assert strict.metric("leaderboard_abuse_reports_total", rule="points_cap") == 1
    wait_until(lambda: score(strict, "greedy", 1).json.get("error") == "player_suspended", what="suspended")
    assert any('"rule":"points_cap"' in line and "greedy" in line for line in strict.log.splitlines())
    admin = token("mod", scope="leaderboard:admin")
    answer = strict.post("/api/v1/admin/players/greedy/reinstate", {"reason": "looked"}, token=admin)
    assert answer.json["suspended"] is False
    assert score(strict, "greedy", 1).status == 200


def test_points_beyond_the_cap_are_refused_for_a_new_player(strict):
    assert score(strict, "big-start", 101).json["error"] == "suspicious_activity"
    assert strict.get("/api/v1/players/big-start").status == 404


def test_refused_proofs_beyond_the_limit_suspend_the_player(strict):
    for _ in range(5):
        answer = score(strict, "forger", 1, headers={"Action-Proof": "a.b.c"})
        assert answer.json["error"] == "invalid_action_proof"
    assert strict.metric("leaderboard_abuse_reports_total", rule="refused_proofs") == 1


def test_broken_rule_is_stored_for_audits(strict, module_database):
    uri, name = module_database
    assert score(strict, "again", 1, headers={"Idempotency-Key": "one"}).status == 201
    for _ in range(30):
        assert score(strict, "again", 1, headers={"Idempotency-Key": "one"}).headers["Idempotent-Replay"] == "true"
    with MongoClient(uri) as client:
        suspects = client[name]["suspects"]
        wait_until(lambda: suspects.find_one({"_id": "again", "replay_storm.times": 1}), what="it is noted")
        assert suspects.index_information()["seen_1"]["expireAfterSeconds"] == 90 * 24 * 3600
    admin = token("mod", scope="leaderboard:admin")
    export = strict.get("/api/v1/admin/players/again/export", token=admin).json
    assert export["rules_broken"]["replay_storm"]["times"] == 1
