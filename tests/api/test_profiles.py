"""`PUT /api/v1/players/{user_id}` on a running service: the own choice, its limit, its audit line and its proof."""

import json
import subprocess
import sys

import pytest
from pymongo import MongoClient
from websockets.sync.client import connect

from tests.support.ledger import problems
from tests.support.service import token
from tests.support.wait import wait_until
from tests.support.websocket_client import SERVER, new_user

PICTURE = "https://x.test/{}.png"


def put(service, user, by=None, **members):
    return service.call("PUT", f"/api/v1/players/{user}", members, token=by or token(user))


def score(service, user, **claims):
    assert service.post("/api/score", {"score": 1}, token=token(user, **claims)).status in (200, 201)
    found = service.get(f"/api/v1/players/{user}").json
    return found["username"], found["avatar_url"]


def lines(service, user, event):
    found = [json.loads(line) for line in service.log.splitlines() if user in line]
    return [line for line in found if line.get("event") == event and line["player"] == user]


@pytest.mark.parametrize("by", [None, SERVER], ids=["player", "game server"])
def test_own_name_and_picture_win_over_the_token_of_the_next_score(service, by):
    user = new_user()
    assert score(service, user, name="Token", picture=PICTURE.format(1)) == ("Token", PICTURE.format(1))
    answer = put(service, user, by, username="Own")
    assert (answer.status, answer.json["username"], answer.json["avatar_url"]) == (200, "Own", PICTURE.format(1))
    assert score(service, user, name="Token 2", picture=PICTURE.format(2)) == ("Own", PICTURE.format(2))
    assert put(service, user, by, avatar_url=None).json["avatar_url"] is None
    assert score(service, user, name="Token 3", picture=PICTURE.format(3)) == ("Own", None)
    assert put(service, user, by, username=None, avatar_url=PICTURE.format(4)).json["username"] == user
    assert score(service, user, name="Token 4", picture=PICTURE.format(5)) == (user, PICTURE.format(4))
    wait_until(lambda: user in service.get("/api/leaderboard").body.decode(), what="the board shows it")


def test_sockets_show_the_own_name(service):
    user = new_user()
    big = {"user_id": user, "score_increase": 10**9}
    put(service, user)
    assert service.post("/api/v1/score", big, token=SERVER).status == 200
    with connect(f"{service.ws_url}/ws/scoreboard") as socket:
        put(service, user, username="Own ✨")
        while '"Own ✨"' not in socket.recv(15):
            pass


def test_profile_changes_have_their_own_limit_and_audit_lines(service, twin):
    user = new_user()
    assert put(service, user).status == 201
    answers = [put((service, twin)[n % 2], user, username=f"N{n}") for n in range(12)]
    assert [answer.status for answer in answers] == [200] * 9 + [429] * 3
    refused = answers[-1]
    assert (refused.json["error"], refused.json["message"]) == (
        "rate_limited", "Too many profile changes: at most 10 in 60 seconds. Try again later.",
    )  # fmt: skip
    assert 50 <= int(refused.headers["Retry-After"]) <= 60
    assert put(service, user, username="N8").status == 200  # as it is: no change
    assert score(service, user) == ("N8", None)
    created, *changed = lines(service, user, "profile_changed")
    assert (created["new_player"], created["changed"], created["caller"]) == (True, [], user)
    assert [line["changed"] for line in changed] == [["username"]] * 5  # those of this process
    (line,) = lines(service, user, "profile_refused")
    assert (line["error"], line["reason"], line["remote"]) == ("rate_limited", "rate_limited", "127.0.0.1")
    assert line["detail"].startswith("the limit 10/60s is used up, the next in ")


def test_profile_of_another_player_is_refused_with_the_reason(service):
    user = new_user()
    answer = put(service, user, token("mallory"), username="Mine")
    assert (answer.status, answer.json["error"]) == (403, "user_mismatch")
    (line,) = lines(service, user, "profile_refused")
    assert line["caller"] == "mallory"
    assert f"the token is for 'mallory', the request for '{user}'; scopes none, needs scores:write" in line["detail"]


def test_ledger_names_the_profile_change_and_the_audit_passes(service, module_database, tmp_path):
    uri, name = module_database
    user = new_user()
    put(service, user, username="One")
    score(service, user, name="Token")
    put(service, user, SERVER, username="Two", avatar_url=None)
    score(service, user)

    def history():
        found = service.get(f"/api/v1/players/{user}/history", token=token(user)).json
        return found["entries"][::-1] if len(found.get("entries", ())) == 4 else None

    entries = wait_until(history, what="four entries")
    assert [(e["kind"], e["points"], e["score"], e["by"], e["reason"]) for e in entries] == [
        ("register", 0, 0, user, "username"),
        ("action", 1, 1, user, None),
        ("profile", 0, 1, "game-1", "username, avatar_url"),
        ("action", 1, 2, user, None),
    ]
    with MongoClient(uri) as client:
        wait_until(lambda: not problems(client[name]), what="the ledger is whole")
        stored = client[name]["ledger"].find_one({"player": user, "kind": "profile"})
    assert "Two" not in json.dumps(stored, default=str)
    command = [sys.executable, "-m", "tornado_app", "audit", "--mongodb-uri", uri, "--mongodb-database", name, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
