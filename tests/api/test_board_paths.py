"""Every path of a board is behind `/boards/{board}` too, over both HTTP paths and as a WebSocket."""

import json
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.support.raw_http import RawConnection
from tests.support.service import token


@pytest.fixture
def user():
    return f"u-{uuid4().hex[:12]}"


def test_prefix_of_main_is_main(service, user):
    answer = service.post("/boards/main/api/score", {"score": 5}, token=token(user))
    assert (answer.status, answer.json["score"]) == (201, 5)
    assert service.post("/api/score", {"score": 5}, token=token(user)).json["score"] == 10
    read = service.get(
        f"/boards/main/api/v1/players/{user}", headers={"If-Board-Version": answer.headers["Board-Version"]}
    )
    assert read.json["score"] == 10
    with connect(f"{service.ws_url}/boards/main/ws/leaderboard") as client:
        assert json.loads(client.recv(timeout=20))["type"] == "leaderboard.update"


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_unknown_board_is_not_found(service, method):
    answer = service.call(method, "/boards/nope/api/score", token=token("ann"))
    assert (answer.status, answer.json["error"]) == (404, "board_not_found")
    assert "nope" not in answer.json["message"]
    assert answer.json["message"] == "There is no such board. GET /api/v1/boards lists the boards: main."


def test_unknown_board_is_not_found_on_either_http_path(service):
    heads = ["GET /boards/nope/api/top-scores HTTP/1.1"], ["GET /boards/nope/api/top-scores HTTP/1.1", "Connection: TE"]
    answers = []
    for line, *headers in heads:
        with RawConnection(service.url) as wire:
            wire.send(line, *headers)
            answers.append(wire.read())
    assert [(answer.status, answer.error) for answer in answers] == [(404, "board_not_found")] * 2


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/healthz", "/openapi.json", "/api/v1/boards", "/api/v1/admin/players/x/suspend"]
)
def test_paths_of_no_board_are_not_behind_the_prefix(service, path):
    answer = service.get(f"/boards/main{path}")
    assert (answer.status, answer.json["error"]) == (404, "not_found")


@pytest.mark.parametrize("board", ["nope", "Main", "", "%6dain"])
def test_socket_of_an_unknown_board_is_closed_with_the_code_of_the_error(service, board):
    with (
        connect(f"{service.ws_url}/boards/{board}/ws/scoreboard") as client,
        pytest.raises(ConnectionClosedError) as end,
    ):
        client.recv(timeout=20)
    assert (end.value.rcvd.code, end.value.rcvd.reason) == (4404, "board_not_found")


def test_path_of_a_socket_behind_the_prefix_requires_a_handshake(service):
    answer = service.get("/boards/main/ws/scoreboard")
    assert (answer.status, answer.json["error"]) == (426, "upgrade_required")
    answer = service.get("/boards/nope/ws/scoreboard")
    assert (answer.status, answer.json["error"]) == (404, "board_not_found")


def test_metrics_have_the_route_without_the_prefix(service, user):
    def count():
        return service.metric(
            "leaderboard_http_requests_total", route="/api/v1/players/{user_id}", method="GET", code="404"
        )

    before = count()
    assert service.get(f"/boards/main/api/v1/players/{user}").status == 404
    assert count() == before + 1
    service.get("/boards/nope/api/score")
    assert service.metric("leaderboard_http_requests_total", route="none", code="404") > 0


def test_boards_are_listed_with_rule_order_and_players(service, user):
    written = service.post("/api/score", {"score": 5}, token=token(user))
    assert written.status == 201
    answer = service.get("/api/v1/boards")
    (main,) = answer.json["boards"]
    assert (main["name"], main["rule"], main["order"]) == ("main", "sum", "descending")
    assert main["players"] >= 1
    assert "bounds" not in main
    assert answer.headers["Cache-Control"].startswith("public")
    again = service.get("/api/v1/boards", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.headers["ETag"]) == (304, answer.headers["ETag"])
    assert service.get("/api/v1/boards?x=1").status == 400
