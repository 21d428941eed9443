"""The running service is what the OpenAPI document says: answers, headers, sockets; and it serves the document."""

import json
import re

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.openapi import DOCUMENT, OPERATIONS, SOCKETS, check, members, resolve
from tests.support.service import token
from tests.support.wait import wait_until

each_operation = pytest.mark.parametrize("name", [n for n, (_, path, _) in OPERATIONS.items() if path not in SOCKETS])


@pytest.fixture(scope="module")
def played(service):
    """The service, once alice of the examples is known to it."""
    assert service.call("PUT", "/api/v1/players/alice", {}, token=token("alice")).status in (200, 201)
    return service


def request(service, name, **headers):
    method, path, operation = OPERATIONS[name]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    needs_token = any(way for way in operation["security"])
    bearer = token("alice", name="Zoë") if needs_token else None
    user = "alice"
    if "Moderation" in operation["tags"]:
        user, bearer = "mallory", token("moderator", scope="leaderboard:admin")
        service.post("/api/actions", {"user_id": user, "action_id": "level_complete:8c1f"}, token=token(user))
    return service.call(method, path.format(user_id=user), body, token=bearer, headers=headers)


@each_operation
def test_the_examples_are_answered_with_the_described_members(played, name):
    answer = request(played, name)
    response = OPERATIONS[name][2]["responses"][str(answer.status)]
    assert answer.status in (200, 201, 204)
    if answer.status != 204:
        schema = response["content"][answer.headers["Content-Type"]]["schema"]
        check(answer.json, schema)
        required, known = members(schema)
        assert required <= set(answer.json) <= known
    for header in set(response["headers"]) - {"Idempotent-Replay"}:
        assert answer.headers[header], header


@pytest.mark.parametrize("name", [n for n, (_, _, o) in OPERATIONS.items() if "304" in o["responses"]])
def test_operation_with_304_answers_304(played, name):
    def twice():
        first = request(played, name)
        found = request(played, name, **{"If-None-Match": first.headers["ETag"]})
        return found if found.status == 304 else None

    again = wait_until(twice, what="all that was played is in the ranks, and nothing changes any more")
    assert again.body == b""
    for header in OPERATIONS[name][2]["responses"]["304"]["headers"]:
        assert again.headers[header], header


@pytest.mark.parametrize("name", [n for n, (_, _, o) in OPERATIONS.items() if o["security"] == [{"bearerAuth": []}]])
def test_operation_with_security_refuses_a_missing_token(service, name):
    method, path, operation = OPERATIONS[name]
    answer = service.call(method, path.format(user_id="alice"), {})
    response = resolve(operation["responses"][str(answer.status)])
    assert (answer.status, answer.json["error"]) == (401, "missing_token")
    check(answer.json, response["content"]["application/json"]["schema"])
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", SOCKETS)
def test_sockets_ask_for_a_handshake(service, path):
    answer = service.get(path)
    response = resolve(DOCUMENT["paths"][path]["get"]["responses"][str(answer.status)])
    assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
    check(answer.json, response["content"]["application/json"]["schema"])


@pytest.mark.parametrize("path", SOCKETS)
def test_sockets_send_the_described_messages(played, path):
    socket = SOCKETS[path]
    with connect(played.ws_url + path) as client:
        message = json.loads(client.recv(timeout=10))
        check(message, socket["sends"][0]["schema"])
        assert set(message) == members(socket["sends"][0]["schema"])[1]


def test_a_player_gets_the_described_personal_message(played):
    socket = SOCKETS["/ws/leaderboard"]
    schema = socket["sends"][1]["schema"]
    with connect(played.ws_url + socket["path"]) as client:
        client.recv(timeout=10)
        authenticate = {**socket["receives"][0]["example"], "token": token("openapi-zoe")}
        client.send(msgspec.json.encode(authenticate).decode())
        answer = None
        while answer is None or answer["type"] != "user.scoreUpdate":
            played.post("/api/score", {"score": 1}, token=token("openapi-zoe"))
            answer = json.loads(client.recv(timeout=10))
        check(answer, schema)
        assert set(answer["data"]) == members(resolve(schema)["properties"]["data"])[1]


def test_a_refused_socket_closes_as_described(service):
    codes = {(close["code"], close["reason"]) for close in SOCKETS["/ws/score"]["closes"]}
    with connect(service.ws_url + "/ws/score?token=no.good.token") as client, pytest.raises(ConnectionClosed):
        client.recv(timeout=10)
    assert (client.close_code, client.close_reason) == (4401, "invalid_token")
    assert (client.close_code, client.close_reason) in codes


# -- how it is served ---------------------------------------------------------------------------------------


def test_document_is_served_as_the_command_prints_it(service):
    answer = service.get("/openapi.json")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json == DOCUMENT
    assert service.get("/openapi.json", headers={"If-None-Match": answer.headers["ETag"]}).status == 304


def test_the_page_loads_nothing_that_the_service_does_not_serve(service):
    page = service.get("/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    html = page.body.decode()
    assert "<style" not in html
    assert not re.search(r"<script(?![^>]* src=)", html)
    links = re.findall(r'(?:src|href)="([^"#]+)"', html)
    assert {"static/docs/main.js", "static/docs/page.css", "openapi.json"} <= set(links)
    scripts = {link for link in links if link.endswith(".js")}
    waiting = list(scripts)
    while waiting:
        source = service.get(f"/{waiting.pop()}").body.decode()
        imported = {f"static/docs/{name}" for name in re.findall(r'from "\./([\w-]+\.js)"', source)}
        waiting += imported - scripts
        scripts |= imported
    assert len(scripts) > 5
    for link in scripts.union(links):
        assert service.get(f"/{link.removeprefix('./')}").status == 200, link
