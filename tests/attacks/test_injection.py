"""Injection: text that is interpreted as a query operator, a field's path, a log line or a header."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from tests.attacks.attack_env import RecordedConnection, new_user
from tests.support.frontends import WRITES

OPERATORS = [
    {"$gt": ""}, {"$ne": None}, {"$inc": {"score": 900}}, {"$where": "1"}, {"$regex": ".*"}, ["$score"],
    {"score": {"$gt": 0}}, {"a.b": 1},
]  # fmt: skip
TEXTS = ["$gt", "$where", "score", "a.b", "h.1", "a\0b", '{"$gt":""}', "__proto__", "$$ROOT", "' || 1==1 //"]


@pytest.fixture(scope="module")
def server(attack_env):
    """A game server's token, which has more rights than a player's."""
    return attack_env.token("game-1", scope="scores:write")


@pytest.mark.parametrize("form", WRITES, ids=lambda form: form.name)
def test_operator_in_a_body_is_refused(attack_env, server, form):
    """Instead of each value, and beside them."""
    user = new_user()
    body = form.body(user)
    with attack_env.unchanged():
        for operator in OPERATORS:
            for name in {*body, "user_id", "proof"}:
                answer = attack_env.service.call(form.method, form.path, {**body, name: operator}, token=server)
                assert (answer.status, answer.json["error"]) == (400, "invalid_body"), (name, operator)
                assert name in answer.json["message"]


@pytest.mark.parametrize("form", WRITES, ids=lambda form: form.name)
def test_operator_as_a_member_name_is_ignored(attack_env, form):
    """Unknown members are ignored, whatever their name."""
    user = new_user()
    token = attack_env.token(user)
    for member in ("$set", "$inc", "score.$", "h.1", "seq", "suspended", "hidden", "erased", "_id", "a\0b"):
        body = {**form.body(user), member: {"score": 900}}
        proof = attack_env.proof(
            user, act="level_complete", pts=form.points, jti=body.get("actionId") or body.get("action_id")
        )
        if not form.carries_id:
            proof = attack_env.proof(user, pts=form.points)
        answer = attack_env.service.call(form.method, form.path, body, token=token, headers={"Action-Proof": proof})
        assert answer.status in (200, 201), (member, answer)
    document = attack_env.players()[user]
    assert document["score"] == 10 * form.points
    assert set(document) <= {"_id", "seq", "score", "updatedAt", "createdAt", "h"}


def test_operator_as_a_user_id_is_plain_text(attack_env, server):
    """In a body, a path and a cursor: text that is not a user id is refused, other text is a user id."""
    for text in ["$gt", "$where", '{"$gt":""}', "' || 1==1 //", "../admin", "a b", "$$ROOT"]:
        user = f"{text} {new_user()}"
        path = f"/api/v1/players/{quote(user, safe='')}"
        assert attack_env.service.get(path).json["error"] == "player_not_found"
        assert (
            attack_env.service.post("/api/v1/score", {"user_id": user, "score_increase": 7}, token=server).status < 300
        )
        assert attack_env.score(user) == attack_env.service.get(path).json["score"] == 7
    with attack_env.unchanged():
        for text in ["a\0b", "a\tb", " $gt", "$gt ", "Zoë", "x" * 256]:
            body = {"user_id": text, "score_increase": 7}
            assert attack_env.service.post("/api/v1/score", body, token=server).json["error"] == "invalid_body"
            path = f"/api/v1/players/{quote(text, safe='')}"
            assert attack_env.service.get(path).json["error"] == "player_not_found"
            assert attack_env.service.call("PUT", path, {}, token=server).status == 404
        for place in ([{"$gt": ""}, 1, "a"], [1, 1, {"$gt": ""}], [1, {"$date": 1}, "a"], {"$gt": ""}, [1, 1]):
            after = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
            answer = attack_env.service.get(f"/api/v1/leaderboard?after={after}")
            assert (answer.status, answer.json["error"]) == (400, "invalid_request")
        for query in ("limit[$gt]=1&limit=", "limit=%00", "limit=1e3", "limit=-1", "limit=%EF%BC%95"):
            assert attack_env.service.get(f"/api/v1/leaderboard?{query}").status == 400


@pytest.mark.parametrize("pair", [("x.score", "x"), ("score", "score.x"), ("a.b", "a.c"), ("id:1", "id"), ("a@b", "a")])
def test_user_id_like_a_path_is_plain_text(attack_env, server, pair):
    """A user id with a dot is text, not a path into a document."""
    mine, other = (f"{name}-{new_user()}" for name in pair)
    for user, points in ((mine, 7), (other, 11)):
        assert (
            attack_env.service.post("/api/v1/score", {"user_id": user, "score_increase": points}, token=server).status
            < 300
        )
    assert (attack_env.score(mine), attack_env.score(other)) == (7, 11)


def test_action_ids_like_operators_are_plain_text(attack_env, server):
    """They are different texts, and each counts once."""
    user = new_user()
    ids = ["$gt", "h.1", "$$ROOT", "a.b", "a", '{"$gt":""}', "%00"]
    for _ in range(2):
        for key in ids:
            body = {"user_id": user, "score_increase": 7}
            answer = attack_env.second_service.post(
                "/api/v1/score", body, token=server, headers={"Idempotency-Key": key}
            )
            assert answer.status in (200, 201)
    assert attack_env.score(user) == 7 * len(ids)


@pytest.mark.parametrize("text", TEXTS)
def test_operator_as_a_username_is_plain_text(attack_env, user, text):
    """It is a normal name if valid, and refused otherwise."""
    answer = attack_env.service.call("PUT", f"/api/v1/players/{user}", {"username": text}, token=attack_env.token(user))
    if "\0" in text:
        assert answer.json["error"] == "invalid_body"
        assert attack_env.score(user) is None
    else:
        assert answer.json["username"] == text
        assert attack_env.players()[user]["ownUsername"] == text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,<script>", "//evil.example/x.png", "file:///etc"]
)
def test_picture_with_a_script_url_is_refused(attack_env, user, url):
    """In the body it is refused, in the token it is dropped."""
    token = attack_env.token(user, picture=url)
    answer = attack_env.service.call("PUT", f"/api/v1/players/{user}", {"avatar_url": url}, token=token)
    assert (answer.status, answer.json["error"]) == (400, "invalid_body")
    attack_env.service.post("/api/score", {"score": 7}, token=token, headers={"Action-Proof": attack_env.proof(user)})
    assert {"avatarUrl", "ownAvatarUrl"}.isdisjoint(attack_env.players()[user])


FORGED_LINE = '{"ts":"2026-01-01T00:00:00.000Z","level":"error","logger":"leaderboard.audit","message":"forged-line"}'


def test_user_input_cannot_forge_log_lines(attack_env, strict, user):
    """Through path, query, header, name, token and method, into JSON and text lines."""
    breaks = ["%0a", "%0d%0a", "%E2%80%A8", "%1b[2J", "%00"]
    token = attack_env.token(user, name=f"ann\n{FORGED_LINE}\x1b[31m")
    for service in (attack_env.service, strict):
        away = {"X-Forwarded-For": f'198.51.100.77, "\t{FORGED_LINE}'}
        answer = service.post(
            "/api/score", {"score": 7}, token=token, headers={**away, "Action-Proof": attack_env.proof(user)}
        )
        assert answer.status in (200, 201)
        for text in breaks:
            service.get(f"/no/such/{text}{quote(FORGED_LINE)}?q={text}{quote(FORGED_LINE)}", headers=away)
        for header in ("X-Request-Id", "Idempotency-Key", "User-Agent", "Origin", "Traceparent"):
            service.get("/api/leaderboard", headers={**away, header: f"a\t{FORGED_LINE}"}, token="x.y.z")
        for head in (b"GET /x\x85\xe2\x80\xa8forged-line HTTP/1.1\r\nHost: x", b"GET / HTTP/1.1\r\nHost: \x1b[2J"):
            with RecordedConnection(service) as wire:
                wire.socket.sendall(head + b"\r\n\r\n")
                wire.read()
        assert "forged-line" in service.log, "it is there, within a line"
    for line in attack_env.service.log.splitlines()[1:]:
        if not line.startswith("leaderboard ready at"):
            assert json.loads(line)["message"] != "forged-line"
    assert not [c for c in attack_env.service.log + strict.log if not (c.isprintable() or c == "\n")]
    for line in strict.log.splitlines():
        assert line.startswith(("20", "    ", "leaderboard ready at")), line
        assert not line.startswith(FORGED_LINE[:10])
    assert "\n" not in attack_env.players()[user]["username"]
    assert "\x1b" not in attack_env.players()[user]["username"]


def test_user_input_cannot_inject_headers(attack_env, user):
    """Client input never becomes a response header."""
    for header in ("X-Request-Id", "Origin", "Idempotency-Key"):
        with RecordedConnection(attack_env.service) as wire:
            wire.send("GET /api/leaderboard HTTP/1.1", f"{header}: a\rSet-Cookie: x=1")
            assert "set-cookie" not in wire.read().headers
        answer = attack_env.service.get("/api/leaderboard", headers={header: "a%0d%0aSet-Cookie: x=1"})
        assert "Set-Cookie" not in answer.headers
        assert "Set-Cookie" not in str(answer.headers.get("X-Request-Id"))
