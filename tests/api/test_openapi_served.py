"""The running service conforms to the OpenAPI document in responses, headers and sockets, and serves it."""

import json
import re

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.openapi import DOCUMENT, OF_PERIODS, OPERATIONS, SOCKETS, check, example, members, resolve
from tests.support.service import token
from tests.support.wait import wait_until


@pytest.fixture(scope="module")
def played(service):
    """The service, with the player alice of the examples."""
    assert service.call("PUT", "/api/v1/players/alice", {}, token=token("alice")).status in (200, 201)
    return service


def request(service, name, **headers):
    method, path, body = example(name)
    bearer = token("alice") if any(way for way in OPERATIONS[name][2]["security"]) else None
    return service.call(method, path, body, token=bearer, headers=headers)


@pytest.mark.parametrize(
    "name", sorted({n for n, (_, _, o) in OPERATIONS.items() if "304" in o["responses"]} - OF_PERIODS)
)
def test_operation_with_a_documented_304_returns_304(played, name):
    def twice():
        first = request(played, name)
        found = request(played, name, **{"If-None-Match": first.headers["ETag"]})
        return found if found.status == 304 else None

    again = wait_until(twice, what="all that was played is in the ranks, and nothing changes any more")
    assert again.body == b""
    for header in OPERATIONS[name][2]["responses"]["304"]["headers"]:
        assert again.headers[header], header


NEED_A_TOKEN = [name for name, (_, _, it) in OPERATIONS.items() if it["security"] and {} not in it["security"]]


@pytest.mark.parametrize("name", NEED_A_TOKEN)
def test_operation_with_security_refuses_a_missing_token(service, name):
    method, path, body = example(name)
    answer = service.call(method, path, body)
    response = resolve(OPERATIONS[name][2]["responses"][str(answer.status)])
    assert (answer.status, answer.json["error"]) == (401, "missing_token")
    check(answer.json, response["content"]["application/json"]["schema"])
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("name", [name for name, (_, path, _) in OPERATIONS.items() if "/admin/" in path])
def test_moderation_summary_names_the_required_scope(service, name):
    method, path, body = example(name)
    answer = service.call(method, path, body, token=token("alice"))
    assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")
    assert "leaderboard:admin" in OPERATIONS[name][2]["summary"]
    assert f'error_description="{answer.json["message"]}"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", SOCKETS)
def test_socket_path_without_handshake_returns_426(service, path):
    answer = service.get(path)
    response = resolve(DOCUMENT["paths"][path]["get"]["responses"][str(answer.status)])
    assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
    check(answer.json, response["content"]["application/json"]["schema"])


def test_authenticated_socket_gets_the_described_personal_message(played):
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


def test_refused_socket_closes_with_a_described_code(service):
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


def test_page_links_and_imports_are_served(service):
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
