"""Moderation over HTTP: its effects on board, ranks, sockets and responses of two processes."""

import json
from uuid import uuid4

import pytest
from websockets.sync.client import connect

from tests.support.service import token
from tests.support.wait import wait_until

MOD = token("mod", scope="leaderboard:admin")
SERVER = token("game-1", scope="scores:write")


def new_user():
    return f"m-{uuid4().hex[:12]}"


def score(service, user, points, **options):
    body = {"user_id": user, "score_increase": points}
    service.call("PUT", f"/api/v1/players/{user}", {}, token=SERVER)
    answer = service.post("/api/v1/score", body, token=SERVER, **options)
    assert answer.status == 200
    return answer.json["new_score"]


def moderate(service, user, verb, *, by=MOD, **body):
    return service.post(f"/api/v1/admin/players/{user}/{verb}", {"reason": "speed hack", **body}, token=by)


def best(service):
    return [row["user_id"] for row in service.get("/api/top-scores").json["top_scores"]]


def leads(service, user, reached):
    first = service.get("/api/top-scores").json["top_scores"][:1]
    return [(row["user_id"], row["score"]) for row in first] == [(user, reached)]


@pytest.fixture
def leader(service, twin):
    """A player far ahead of all others, shown by both processes."""
    user = new_user()
    top = max((row["score"] for row in service.get("/api/top-scores").json["top_scores"]), default=0)
    reached = score(service, user, top + 1000)
    for each in (service, twin):
        wait_until(lambda each=each: leads(each, user, reached), what="the leader leads")
    return user


@pytest.mark.parametrize("verb", ["suspend", "reinstate", "hide", "show", "take-back", "erase"])
@pytest.mark.parametrize(
    ("by", "status", "code"),
    [
        (None, 401, "missing_token"),
        (token("ann"), 403, "insufficient_scope"),
        (SERVER, 403, "insufficient_scope"),
    ],
)
def test_moderation_by_other_callers_is_refused(service, leader, verb, by, status, code):
    extra = {"action_id": "x"} if verb == "take-back" else {}
    answer = moderate(service, leader, verb, by=by, **extra)
    assert (answer.status, answer.json["error"]) == (status, code)
    assert best(service)[0] == leader


def test_suspended_player_cannot_score_through_any_process(service, twin, leader):
    assert moderate(service, leader, "suspend").json["suspended"]
    for each in (service, twin):
        answer = each.post("/api/score", {"score": 1}, token=token(leader))
        assert (answer.status, answer.json["error"]) == (403, "player_suspended")
    assert best(twin)[0] == leader  # suspended is not hidden
    assert moderate(twin, leader, "reinstate").json == {
        "user_id": leader, "score": moderate(service, leader, "reinstate").json["score"], "suspended": False,
        "hidden": False, "changed": True, "points_taken_back": 0, "actions_taken_back": 0,
    }  # fmt: skip
    assert service.post("/api/score", {"score": 1}, token=token(leader)).status == 200


def test_hidden_player_leaves_board_ranks_and_sockets_of_every_process(service, twin, leader):
    second = new_user()
    score(service, second, 100)
    rank = service.get(f"/api/v1/players/{second}").json["rank"]
    with connect(f"{twin.ws_url}/ws/leaderboard") as socket:
        assert json.loads(socket.recv(timeout=10))["data"]["updatedPositions"][0]["userId"] == leader
        assert moderate(service, leader, "hide").json["hidden"]
        assert json.loads(socket.recv(timeout=10))["data"]["updatedPositions"][0]["userId"] != leader
        for each in (service, twin):
            wait_until(lambda each=each: leader not in best(each), what="gone")
            wait_until(
                lambda each=each: each.get(f"/api/v1/players/{second}").json["rank"] == rank - 1, what="ranks are dense"
            )
        score(twin, leader, 5)  # scores on, unseen
        marker = new_user()
        score(service, marker, 1)
        wait_until(lambda: twin.get(f"/api/v1/players/{marker}").status == 200, what="the stream went on")
        assert leader not in best(twin)
        assert not moderate(twin, leader, "show").json["hidden"]
        for each in (service, twin):
            wait_until(lambda each=each: best(each)[0] == leader, what="back")
            wait_until(lambda each=each: each.get(f"/api/v1/players/{second}").json["rank"] == rank, what="ranks")


def test_take_back_of_an_action_subtracts_its_points_once(service, twin):
    user = new_user()
    score(service, user, 100)
    score(service, user, 30, headers={"Idempotency-Key": "cheat"})
    answer = moderate(service, user, "take-back", action_id="cheat")
    assert answer.status == 200, answer
    assert (answer.json["score"], answer.json["points_taken_back"], answer.json["actions_taken_back"]) == (100, 30, 1)
    for each in (service, twin):
        again = moderate(each, user, "take-back", action_id="cheat")
        assert (again.status, again.json["error"]) == (404, "action_not_found")
        assert each.get(f"/api/v1/players/{user}").json["score"] == 100
    replay = service.post(
        "/api/v1/score", {"user_id": user, "score_increase": 30}, token=SERVER, headers={"Idempotency-Key": "cheat"}
    )
    assert replay.headers["Idempotent-Replay"] == "true"
    assert service.get(f"/api/v1/players/{user}").json["score"] == 100


def test_take_back_since_a_time_reverses_all_later_actions(service):
    user = new_user()
    score(service, user, 100)
    since = service.get(f"/api/v1/players/{user}").json["updated_at"]
    score(service, user, 7)
    answer = moderate(service, user, "take-back", since=since)
    assert (answer.json["score"], answer.json["actions_taken_back"]) == (0, 2)


@pytest.mark.parametrize("body", [{}, {"action_id": "a", "since": "2026-01-01T00:00:00Z"}, {"since": "yesterday"}])
def test_take_back_without_exactly_one_selection_is_refused(service, leader, body):
    answer = moderate(service, leader, "take-back", **body)
    assert (answer.status, answer.json["error"]) == (400, "invalid_body")


def test_erased_player_is_unknown_to_every_process(service, twin, leader):
    total = service.get("/api/leaderboard").json["totalUsers"]
    assert moderate(service, leader, "erase").status == 204
    for each in (service, twin):
        assert each.get(f"/api/v1/players/{leader}").status == 404
        wait_until(lambda each=each: leader not in best(each), what="gone")
        wait_until(lambda each=each: each.get("/api/leaderboard").json["totalUsers"] == total - 1, what="fewer")
    assert moderate(service, leader, "erase").status == 404


def test_export_is_allowed_for_the_player_and_moderators(service, leader):
    path = f"/api/v1/admin/players/{leader}/export"
    for by in (MOD, token(leader)):
        found = service.get(path, token=by)
        assert found.status == 200
        assert found.json["player"]["_id"] == leader
    assert service.get(path, token=token("ann")).status == 403


def test_moderation_is_in_the_ledger_and_the_audit_log(service, leader):
    moderate(service, leader, "suspend")
    moderate(service, leader, "reinstate")
    lines = [line for line in service.log.splitlines() if leader in line and '"moderation"' in line]
    assert len(lines) == 2
    assert all('"by":"mod"' in line and "speed hack" in line for line in lines)
    path = f"/api/v1/players/{leader}/history"
    wait_until(lambda: "speed hack" in service.get(path, token=MOD).body.decode(), what="in the ledger")
