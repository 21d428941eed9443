"""The examples of the OpenAPI document, replayed in one order on a real service: each response equals the example's.

Times, versions and ids of writes differ from run to run: of these only the type is compared.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.support.openapi import OF_PERIODS, OPERATIONS, SOCKETS, check, example, members
from tests.support.service import Answer, RunningService, token

DEADLINE = 15.0
VARYING = {
    "1", "at", "createdAt", "hash", "lastUpdated", "updatedAt", "updated_at", "version", "write_id",
}  # fmt: skip
CURSOR = ("getV1Leaderboard", "next")

MODERATOR = {"sub": "moderator", "scope": "leaderboard:admin"}
ALICE = {"sub": "alice"}
ZOE = {"sub": "zoe", "name": "Zoë"}

REQUESTS = [
    ("getV1AdminPlayersExport", 200, MODERATOR),
    ("postV1AdminPlayersSuspend", 200, MODERATOR),
    ("postV1AdminPlayersReinstate", 200, MODERATOR),
    ("postV1AdminPlayersHide", 200, MODERATOR),
    ("postV1AdminPlayersShow", 200, MODERATOR),
    ("postV1AdminPlayersTakeBack", 200, MODERATOR),
    ("postV1AdminPlayersErase", 204, MODERATOR),
    ("putV1Players", 201, ALICE),
    ("putV1Players", 200, ALICE),
    ("postScore", 201, ZOE),
    ("postScore", 200, ALICE),
    ("patchScore", 200, ALICE),
    ("postUpdateScore", 200, ALICE),
    ("postScoresUpdate", 200, ALICE),
    ("postActions", 200, ALICE),
    ("postV1Score", 200, ALICE),
    ("postV1Scores", 200, ALICE),
    ("getTopScores", 200, None),
    ("getLeaderboard", 200, ALICE),
    ("getV1Players", 200, None),
    ("getV1PlayersAround", 200, None),
    ("getV1PlayersHistory", 200, ALICE),
    ("getV1Leaderboard", 200, None),
    ("getV1Boards", 200, None),
    ("getHealthz", 200, None),
    ("getReadyz", 200, None),
]
"""In this order. Before the first, the moderated player has scored."""


def comparable(value: Any, name: str = "") -> Any:
    """A JSON value with the values that vary replaced by their types."""
    if name in VARYING:
        return type(value).__name__
    if isinstance(value, dict):
        return {key: comparable(inner, key) for key, inner in value.items()}
    return [comparable(inner) for inner in value] if isinstance(value, list) else value


def described(name: str, status: int) -> Any:
    """The response of the document."""
    return OPERATIONS[name][2]["responses"][str(status)]


def same(name: str, status: int, answer: Answer) -> bool:
    wanted, found = described(name, status)["content"]["application/json"]["example"], answer.json
    if name == CURSOR[0]:
        wanted, found = ({**page, CURSOR[1]: type(page[CURSOR[1]]).__name__} for page in (wanted, found))
    return bool(comparable(wanted) == comparable(found))


@pytest.fixture(scope="module")
def service(run_service, module_database, tmp_path_factory) -> RunningService:
    """A service with the boards of the example."""
    boards = tmp_path_factory.mktemp("boards") / "boards.yaml"
    boards.write_text("boards: {kart: {rule: best, order: ascending, bounds: {min: 15000, max: 3600000}}}")
    uri, name = module_database
    return run_service("--boards-file", str(boards), uri=uri, database=name)


@pytest.fixture(scope="module")
def answers(service: RunningService) -> dict[tuple[str, int], Answer]:
    """The responses to all requests. A read is repeated until it shows the writes before it."""
    scored = service.post(
        "/api/actions", {"user_id": "mallory", "action_id": "level_complete:8c1f"}, token=token("mallory")
    )
    assert scored.status == 200
    found = {}
    for name, status, caller in REQUESTS:
        request, bearer = example(name), token(**caller) if caller else None
        deadline = time.monotonic() + DEADLINE
        while True:
            answer = service.call(request.method, request.path, request.body, token=bearer)
            if request.method != "GET" or same(name, status, answer) or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        found[name, status] = answer
    return found


def test_requests_cover_every_successful_response() -> None:
    statuses = {(name, int(status)) for name, (_, _, it) in OPERATIONS.items() for status in it["responses"]}
    good = {(name, status) for name, status in statuses if status in (200, 201, 204)}
    assert {(name, status) for name, status, _ in REQUESTS} == {each for each in good if each[0] not in OF_PERIODS}


@pytest.mark.parametrize(("name", "status"), [(name, status) for name, status, _ in REQUESTS])
def test_response_equals_the_example(answers: dict[tuple[str, int], Answer], name: str, status: int) -> None:
    answer, response = answers[name, status], described(name, status)
    assert answer.status == status
    for header in set(response["headers"]) - {"Idempotent-Replay"}:
        assert answer.headers[header], header
    if status == 204:
        assert answer.body == b""
        return
    content = response["content"][answer.headers["Content-Type"]]
    check(answer.json, content["schema"])
    required, known = members(content["schema"])
    assert required <= set(answer.json) <= known
    if not same(name, status, answer):
        assert comparable(answer.json) == comparable(content["example"])


# -- WebSockets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.usefixtures("answers")
def test_first_message_equals_the_example(service: RunningService, path: str) -> None:
    described = SOCKETS[path]["sends"][0]
    with connect(service.ws_url + path) as client:
        message = json.loads(client.recv(timeout=DEADLINE))
    check(message, described["schema"])
    assert comparable(message) == comparable(described["example"])


@pytest.mark.usefixtures("answers")
def test_personal_message_equals_the_example(service: RunningService) -> None:
    described = SOCKETS["/ws/leaderboard"]["sends"][1]
    request = example("postScoresUpdate")
    headers = {"Authorization": f"Bearer {token('alice')}"}
    with connect(service.ws_url + "/ws/leaderboard", additional_headers=headers) as client:
        client.recv(timeout=DEADLINE)
        body = {**request.body, "actionId": "level-8"}
        assert service.call(request.method, request.path, body, token=token("alice")).status == 200
        message: Any = {"type": ""}
        while message["type"] != described["example"]["type"]:
            message = json.loads(client.recv(timeout=DEADLINE))
    check(message, described["schema"])
    assert comparable(message) == comparable(described["example"])
