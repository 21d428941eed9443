"""The live board over real WebSockets, on a real mongod. Source: the API contract, section 4."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus

from tests.support.service import token
from tests.support.wait import wait_until
from tests.support.websocket_client import PATHS, add, best, fill, lead, new_user, opened, register, top

each_path = pytest.mark.parametrize("path", PATHS)


@pytest.fixture(scope="module")
def full_board(service):
    """A full top 10 and two below, best first; tests put others on top of them."""
    return fill(service)


@pytest.fixture(autouse=True)
def settled(service, full_board):
    """Wait until no message is pending."""
    names = ("user_id", "username", "score")
    wait_until(
        lambda: top(service) == [{n: row[n] for n in names} for row in standings(service)], what="a board at rest"
    )


def standings(service):
    """The top 10 with every member that any frontend shows."""
    return service.get("/api/v1/leaderboard?limit=10").json["players"]


def expected(path, service):
    rows = standings(service)
    if path == "/ws/scoreboard":
        names = ("user_id", "username", "score")
        return {"event": "update", "top_scores": [{name: row[name] for name in names} for row in rows]}
    if path == "/ws/score":
        names = ("user_id", "username", "score", "rank", "updated_at")
        return {"event": "leaderboard:update", "data": {"leaderboard": [{n: row[n] for n in names} for row in rows]}}
    return {
        "type": "leaderboard.update",
        "data": {"updatedPositions": [place(n, row) for n, row in enumerate(rows, 1)]},
    }


def place(position, row):
    return {
        "userId": row["user_id"], "username": row["username"], "avatarUrl": row["avatar_url"], "score": row["score"],
        "rank": row["rank"], "position": position,
    }  # fmt: skip


@each_path
def test_first_message_is_the_board(service, full_board, path):
    began = time.monotonic()
    with opened(service, path) as socket:
        message = socket.read()
        assert time.monotonic() - began < 2
        version = message.pop("version")
        assert message == expected(path, service)
        assert isinstance(version, int)
        assert 0 < version < 2**53


@each_path
def test_change_of_the_top_10_reaches_every_socket(service, twin, full_board, path):
    with opened(service, path) as one, opened(service, path) as two, opened(twin, path) as three:
        sockets = (one, two, three)
        first = [socket.read()["version"] for socket in sockets]
        user, _ = lead(service)
        for socket, version in zip(sockets, first, strict=True):
            message = socket.read_until(lambda message: best(message) == user)[-1]
            assert message.pop("version") > version
            if path != "/ws/leaderboard":
                assert message == expected(path, service)


@each_path
def test_update_through_another_process_reaches_the_socket(service, twin, full_board, path):
    with opened(service, path) as here, opened(twin, path) as there:
        for writer in (service, twin):
            user, _ = lead(writer)
            for socket in (here, there):
                socket.read_until(lambda message, user=user: best(message) == user)


def test_c_sends_only_the_positions_that_changed(service, full_board):
    with opened(service, "/ws/leaderboard") as socket:
        assert len(socket.read()["data"]["updatedPositions"]) == 10
        rows = standings(service)
        add(service, rows[0]["user_id"], 5)
        assert socket.read()["data"] == {"updatedPositions": [place(1, {**rows[0], "score": rows[0]["score"] + 5})]}
        add(service, rows[2]["user_id"], rows[1]["score"] - rows[2]["score"] + 1)
        now = standings(service)
        assert [row["user_id"] for row in now[1:3]] == [rows[2]["user_id"], rows[1]["user_id"]]
        assert socket.read()["data"] == {"updatedPositions": [place(2, now[1]), place(3, now[2])]}
        register(service, now[3]["user_id"], username="Nova")
        assert socket.read()["data"] == {"updatedPositions": [place(4, {**now[3], "username": "Nova"})]}


@each_path
def test_versions_grow_and_messages_come_in_order(service, full_board, path):
    with opened(service, path) as socket:
        versions = [socket.read()["version"]]
        user, _ = lead(service)
        versions += [message["version"] for message in socket.read_until(lambda message: best(message) == user)]
        scores = []
        for _ in range(5):
            add(service, user, 7)
            message = socket.read()
            versions.append(message["version"])
            scores.append(first_score(message))
        assert versions == sorted(set(versions))
        assert scores == list(range(scores[0], scores[0] + 35, 7))


def first_score(message):
    rows = message.get("top_scores") or message["data"].get("leaderboard") or message["data"]["updatedPositions"]
    return rows[0]["score"]


@each_path
def test_socket_gets_no_message_while_the_top_10_is_unchanged(service, full_board, path):
    with opened(service, path) as socket:
        socket.read()
        low = register(service)
        for _ in range(3):
            add(service, low, 1)
        champion = standings(service)[0]["user_id"]
        mine = token(champion)
        replay = {"Idempotency-Key": f"k-{uuid4()}"}
        assert service.post("/api/score", {"score": 1}, token=mine, headers=replay).status == 200
        assert first_score(socket.read()) == standings(service)[0]["score"]
        assert service.post("/api/score", {"score": 1}, token=mine, headers=replay).headers["Idempotent-Replay"]
        assert service.post("/api/score", {"score": 2}, token=mine, headers=replay).status == 409
        assert service.post("/api/score", {"score": 0}, token=mine).status == 400
        assert service.post("/api/score", {"score": 1}, token="no.good.token").status == 401
        register(service, champion)
        add(service, low, 1)
        marker, _ = lead(service)
        messages = socket.read_until(lambda message: best(message) == marker)
        assert len(messages) == 1, messages


def test_quick_changes_are_combined_and_the_last_message_is_the_final_state(service, twin, full_board):
    users = [lead(service)[0] for _ in range(10)]
    with opened(service) as socket, ThreadPoolExecutor(8) as pool:
        socket.read()
        began = time.monotonic()
        done = [pool.submit(add, (service, twin)[n % 2], users[n % 10], 100_000 + n) for n in range(90)]
        for each in done:
            each.result()
        final = {row["user_id"]: row["score"] for row in standings(service)}
        messages = socket.read_until(lambda m: {row["user_id"]: row["score"] for row in m["top_scores"]} == final)
        took = time.monotonic() - began
        assert len(messages) <= 10 * took + 2
        versions = [message["version"] for message in messages]
        assert versions == sorted(set(versions))
        marker, _ = lead(service)
        assert best(socket.read()) == marker  # no older message was pending


def test_handshake_of_an_unknown_path_is_404(service):
    for path in ("/ws", "/ws/", "/ws/nowhere", "/ws/score/", "/ws/score/x", "/api/score"):
        with pytest.raises(InvalidStatus) as refused, opened(service, path):
            pass
        answer = refused.value.response
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.body == b'{"error":"not_found","message":"There is no such path."}'


def test_open_sockets_are_counted(service):
    def count():
        return service.metric("leaderboard_websocket_connections", frontend="A")

    wait_until(lambda: count() == 0, what="all others are gone")
    with opened(service, "/ws/score") as one, opened(service, "/ws/score") as two:
        one.read(), two.read()
        assert count() == 2
    wait_until(lambda: count() == 0, what="both are gone")
    assert "Traceback" not in service.log


def test_token_of_an_unknown_player_opens_a_socket(service, full_board):
    with opened(service, f"/ws/leaderboard?token={token(new_user())}") as socket:
        assert len(socket.read()["data"]["updatedPositions"]) == 10
    assert len(top(service)) == 10
