"""User ids in every form of identity providers, in every place of a user id: each finds its own player only."""

import json
import os
import subprocess
import sys
from urllib.parse import quote

import pytest

from tests.support.service import token
from tests.support.subjects import SUBJECTS
from tests.support.wait import wait_until
from tests.support.websocket_client import opened
from tornado_app.http.messages import Route, Router

SERVER = token("game-1", scope="scores:write")
MODERATOR = token("moderator", scope="leaderboard:admin")


def page_of(user, rest=""):
    return f"/api/v1/players/{quote(user, safe='')}{rest}"


@pytest.fixture(scope="module")
def scores(service):
    """All of them on one board, made by the game server; the score of each is its own."""
    scores = {user: 1000 - number for number, user in enumerate(SUBJECTS)}
    for user, score in scores.items():
        answer = service.call("PUT", page_of(user), {}, token=SERVER)
        assert (answer.status, answer.json["user_id"]) == (201, user)
        body = {"user_id": user, "score_increase": score}
        assert service.post("/api/v1/score", body, token=SERVER).json["new_score"] == score
    wait_until(lambda: service.get("/api/leaderboard").json["totalUsers"] == len(scores), what="all on the board")
    return scores


@pytest.mark.parametrize("user", SUBJECTS)
def test_player_is_read_by_path(service, scores, user):
    found = service.get(page_of(user)).json
    assert (found["user_id"], found["username"], found["score"]) == (user, user, scores[user])
    assert service.get(page_of(user, "/around")).json["player"]["user_id"] == user
    assert service.get(page_of(user, "/history"), token=token(user)).json["entries"]
    assert service.get(page_of(user, "/history"), token=token("another")).json["error"] == "insufficient_scope"


def test_pages_of_one_visit_every_player_once(service, scores):
    seen, after = [], None
    while True:
        query = "" if after is None else f"&after={quote(after, safe='')}"
        page = service.get(f"/api/v1/leaderboard?limit=1{query}").json
        seen += [player["user_id"] for player in page["players"]]
        after = page["next"]
        if after is None:
            break
    assert [user for user in seen if user in scores] == list(SUBJECTS)
    assert len(seen) == len(set(seen))


def test_path_in_another_encoding_is_the_same_player_or_not_found(service, scores):
    """Each segment is decoded once; `+` is no space, and an unencoded slash ends the segment."""
    for path, user in {
        "/api/v1/players/auth0%7C5f7c8ec7c33c6c004bbafe82": "auth0|5f7c8ec7c33c6c004bbafe82",
        "/api/v1/players/auth0%7c5f7c8ec7c33c6c004bbafe82": "auth0|5f7c8ec7c33c6c004bbafe82",
        "/api/v1/players/auth0|5f7c8ec7c33c6c004bbafe82": "auth0|5f7c8ec7c33c6c004bbafe82",
        "/api/v1/players/ann+smith": "ann+smith",
        "/api/v1/players/ann%2Bsmith": "ann+smith",
        "/api/v1/players/ann%20smith": "ann smith",
        "/api/v1/players/%252F": "%2F",
        "/api/v1/players/%61": "a",
    }.items():
        assert service.get(path).json.get("user_id") == user, path
    for path in ("/api/v1/players/%2F", "/api/v1/players/a%20", "/api/v1/players/a%00", "/api/v1/players/a%FF"):
        assert service.get(path).json["error"] == "player_not_found", path
    assert service.get("/api/v1/players/https://steamcommunity.com").json["error"] == "not_found"


@pytest.mark.long
@pytest.mark.parametrize("user", SUBJECTS)
def test_player_scores_with_the_own_token_and_gets_the_message(service, scores, user):
    with opened(service, "/ws/leaderboard") as socket:
        socket.send(json.dumps({"type": "authenticate", "token": token(user)}))
        socket.client.ping().wait(10)
        answer = service.post("/api/actions", {"user_id": user, "action_id": "level_complete"}, token=token(user))
        assert answer.status == 200, answer
        scores[user] = answer.json["new_score"]
        heard = socket.read_until(lambda message: message["type"] == "user.scoreUpdate")[-1]
        assert heard["data"]["newScore"] == scores[user]
    assert service.post("/api/score", {"score": 1, "user_id": user}, token=token("another")).status == 403


@pytest.mark.long
@pytest.mark.parametrize("user", SUBJECTS)
def test_player_is_moderated_and_erased(service, user):
    new, encoded = f"x{user}"[:255], quote(f"x{user}"[:255], safe="")
    body = {"user_id": new, "score_increase": 5}
    assert service.call("PUT", page_of(new), {"username": "N"}, token=SERVER).status == 201
    assert service.post("/api/v1/score", body, token=SERVER, headers={"Idempotency-Key": "k"}).status == 200

    def moderate(verb, **members):
        body = {"reason": "test", **members}
        return service.post(f"/api/v1/admin/players/{encoded}/{verb}", body, token=MODERATOR)

    for verb in ("suspend", "reinstate", "hide", "show"):
        assert (moderate(verb).json["user_id"], moderate(verb).status) == (new, 200)
    wait_until(lambda: moderate("take-back", action_id="k").status == 200, what="the action is in the ledger")
    assert service.get(page_of(new)).json["score"] == 0
    wait_until(
        lambda: len(service.get(page_of(new, "/history"), token=MODERATOR).json["entries"]) == 7, what="seven entries"
    )
    exported = service.get(f"/api/v1/admin/players/{encoded}/export", token=MODERATOR).json
    assert exported["player"]["_id"] == new
    assert {entry["player"] for entry in exported["ledger"]} == {new}
    assert moderate("erase").status == 204
    wait_until(lambda: service.get(page_of(new)).status == 404, what="the player is gone")


def test_log_line_has_the_user_id_unchanged(service, scores):
    lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    logged = {line.get("player") for line in lines if line["logger"] == "leaderboard.audit"}
    assert set(SUBJECTS) <= logged


def test_watch_prints_the_user_id(service, scores):
    watch = subprocess.Popen(
        [sys.executable, "-m", "tornado_app", "watch", service.url], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        columns = [watch.stdout.readline().rstrip("\n").split("\t") for _ in range(10)]
    finally:
        watch.terminate()
        watch.communicate(timeout=10)
    assert {len(line) for line in columns} == {6}
    top = service.get("/api/top-scores").json["top_scores"]
    assert sorted(line[4] for line in columns) == sorted(player["user_id"] for player in top)


def test_audit_passes_for_every_player(service, scores, module_database):
    uri, name = module_database
    env = {**os.environ, "LEADERBOARD_MONGODB_URI": uri, "LEADERBOARD_MONGODB_DATABASE": name}
    done = subprocess.run(
        [sys.executable, "-m", "tornado_app", "audit", "--json"], capture_output=True, text=True, env=env, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_router_decodes_each_segment_once():
    route = Route("/players/{user_id}/{verb}", {})
    router = Router([route])
    for path, user in {"a%2Fb": "a/b", "a%252Fb": "a%2Fb", "a+b": "a+b", "a%2Bb": "a+b", "%7C": "|"}.items():
        assert router.find(f"/players/{path}/x%20y") == (route, {"user_id": user, "verb": "x y"})
