"""Scores and points beyond 31 bits, which BSON stores as another type, work through every frontend."""

import json

import pytest
from websockets.sync.client import connect

from tests.support.service import token
from tests.support.wait import wait_until

BILLIONS = 3_000_000_000


@pytest.fixture(scope="module")
def rich(service):
    """The score of a player whose one update was larger than an int32."""
    server = token("game-1", scope="scores:write")
    assert service.post("/api/score", {"score": 1}, token=token("rich")).status == 201
    answer = service.post("/api/v1/score", {"user_id": "rich", "score_increase": BILLIONS}, token=server)
    assert answer.status == 200
    score = answer.json["new_score"]
    wait_until(lambda: str(score) in str(service.get("/api/top-scores").json), what="rich leads")
    return score


def test_large_scores_are_exact_in_all_reads(service, rich):
    assert service.get("/api/top-scores").json["top_scores"][0]["score"] == rich
    mine = service.get("/api/leaderboard", token=token("rich")).json
    assert mine["userRank"] == {"rank": 1, "score": rich, "percentile": 100.0, "next": None}
    assert service.get("/api/v1/players/rich").json["score"] == rich
    assert service.get("/api/v1/players/rich/around").json["player"]["score"] == rich
    assert service.get("/api/v1/leaderboard").json["players"][0]["score"] == rich


def test_large_scores_are_exact_in_all_sockets(service, rich):
    for path in ("/ws/score", "/ws/scoreboard", "/ws/leaderboard"):
        with connect(service.ws_url + path) as client:
            assert str(rich) in client.recv(timeout=10)


def test_large_scores_are_exact_in_the_personal_message(service, rich):
    with connect(f"{service.ws_url}/ws/leaderboard?token={token('rich')}") as client:
        client.recv(timeout=10)
        assert service.post("/api/score", {"score": 1}, token=token("rich")).json["score"] == rich + 1
        messages = [json.loads(client.recv(timeout=10)) for _ in range(2)]
        assert [m["data"]["newScore"] for m in messages if m["type"] == "user.scoreUpdate"] == [rich + 1]


def test_large_scores_are_exact_in_the_audit_log(service, rich):
    assert f'"points":{BILLIONS}' in service.log
