"""Players on the live board: personal messages, and their tokens (the API contract, section 4)."""

import json
import secrets
import time
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tests.support.frontends import WRITES
from tests.support.service import token
from tests.support.websocket_client import PATHS, add, best, fill, lead, new_user, opened, register

each_way = pytest.mark.parametrize("way", ["query", "header", "message"])
each_path = pytest.mark.parametrize("path", PATHS)


@pytest.fixture(scope="module", autouse=True)
def full_board(service):
    """A full top 10, so that a newcomer with few points changes nothing on it."""
    return fill(service)


def opened_as(service, text, way, path="/ws/leaderboard"):
    """A socket that was authenticated in one of three ways, before the first read."""
    if way == "query":
        return opened(service, f"{path}?token={text}")
    if way == "header":
        return opened(service, path, headers={"Authorization": f"Bearer {text}"})
    return _opened_then(service, text, path)


class _opened_then:  # noqa: N801  # stands where a context manager's function does
    def __init__(self, service, text, path):
        self._opened = opened(service, path)
        self._text = text

    def __enter__(self):
        socket = self._opened.__enter__()
        socket.send(json.dumps({"type": "authenticate", "token": self._text}))
        return socket

    def __exit__(self, *error):
        return self._opened.__exit__(*error)


def own(socket):
    """The next message of the player's own score."""
    return socket.read_until(lambda message: message["type"] == "user.scoreUpdate")[-1]


def reached(socket, score):
    """The player's message of a score; one of the registration may precede it, late from another process."""
    while (data := own(socket)["data"])["newScore"] < score:
        pass
    return data


def announce(service, socket, user):
    """Score until the socket has this player: a token sent as a message takes effect later."""
    reached(socket, add(service, user, 1))


def rank_of(service, user):
    return service.get(f"/api/v1/players/{user}").json["rank"]


@each_way
def test_player_gets_a_message_for_each_own_change_through_any_frontend(service, twin, way):
    user = register(service)
    with opened_as(service, token(user), way) as socket:
        assert socket.read()["type"] == "leaderboard.update"
        announce(service, socket, user)
        total = 1
        for n, form in enumerate(WRITES):
            writer = (twin, service)[n % 2]
            answer = writer.call(form.method, form.path, form.body(user), token=token(user))
            assert answer.status == 200
            total += form.points
            message = socket.read()
            assert message["data"] == {
                "newScore": total, "leaderboardPosition": rank_of(service, user), "change": form.points,
            }  # fmt: skip
            assert set(message) == {"type", "data", "version"}


def test_player_gets_no_message_for_others_replays_and_refusals(service, twin):
    alice, bob = register(service), register(service)
    with opened_as(service, token(alice), "query") as socket:
        assert socket.read()["type"] == "leaderboard.update"
        action = {"actionId": str(uuid4()), "actionType": "enemy_defeated"}
        assert service.post("/api/scores/update", action, token=token(alice)).json["newScore"] == 5
        assert socket.read()["data"]["newScore"] == 5
        add(twin, bob, 3)
        assert twin.post("/api/scores/update", action, token=token(alice)).headers["Idempotent-Replay"] == "true"
        action["actionType"] = "level_complete"
        assert twin.post("/api/scores/update", action, token=token(alice)).status == 409
        assert service.post("/api/score", {"score": 0}, token=token(alice)).status == 400
        add(twin, bob, 3)
        add(twin, alice, 2)
        assert socket.read()["data"] == {"newScore": 7, "leaderboardPosition": rank_of(service, alice), "change": 2}


def test_player_in_the_top_10_gets_both_messages(service):
    user, score = lead(service)
    with opened_as(service, token(user), "query") as socket:
        socket.read()
        add(service, user, 9)
        messages = {}
        while messages.get("leaderboard.update") != score + 9 or "user.scoreUpdate" not in messages:
            message = socket.read()  # a message of an earlier change may still arrive
            board = message["type"] == "leaderboard.update"
            messages[message["type"]] = message["data"]["updatedPositions"][0]["score"] if board else message["data"]
        assert messages["user.scoreUpdate"] == {"newScore": score + 9, "leaderboardPosition": 1, "change": 9}


def test_every_socket_of_a_player_gets_the_message(service, twin):
    user = register(service)
    with opened_as(service, token(user), "query") as phone, opened_as(twin, token(user), "header") as desktop:
        phone.read(), desktop.read()
        add(service, user, 4)
        first, second = (reached(socket, 4) for socket in (phone, desktop))
        assert first == second


def test_another_token_on_the_same_socket_changes_the_player(service):
    alice, bob = register(service), register(service)
    with opened_as(service, token(alice), "message") as socket:
        socket.read()
        announce(service, socket, alice)
        socket.send(json.dumps({"type": "authenticate", "token": token(bob)}))
        announce(service, socket, bob)
        add(service, alice, 1)
        add(service, bob, 5)
        assert socket.read()["data"]["change"] == 5


@pytest.mark.parametrize("path", PATHS[:2])
def test_other_frontends_accept_a_token_without_a_message(service, path):
    user = register(service)
    with opened_as(service, token(user), "query", path) as socket:
        socket.read()
        add(service, user, 1)
        marker, _ = lead(service)
        messages = socket.read_until(lambda message: best(message) == marker)
        assert len(messages) == 1


BAD = {
    "garbage": lambda: ("garbage", "invalid_token"),
    "nothing": lambda: ("", "invalid_token"),
    "wrong key": lambda: (token("mallory", key=secrets.token_urlsafe(32)), "invalid_token"),
    "long": lambda: ("a" * 4000, "invalid_token"),
    "expired": lambda: (token("mallory", ttl=60, clock=lambda: time.time() - 3600), "expired_token"),
}


@each_way
@pytest.mark.parametrize("bad", BAD)
@each_path
def test_invalid_token_closes_with_4401(service, path, bad, way):
    text, reason = BAD[bad]()
    with opened_as(service, text, way, path) as socket:
        assert socket.ended() == (4401, reason)


def test_invalid_token_closes_before_the_board_is_sent(service):
    with opened(service, "/ws/leaderboard?token=garbage") as socket, pytest.raises(Exception, match="4401"):
        socket.read()


def test_token_of_another_scheme_is_ignored(service):
    with opened(service, headers={"Authorization": "Basic YTpi"}) as socket:
        assert socket.ended() == (4401, "missing_token")


@each_way
def test_expiring_token_closes_with_4401_unless_renewed(service, way):
    user = new_user()
    with ExitStack() as stack:
        short = token(user, ttl=2)
        let_go, kept = (stack.enter_context(opened_as(service, short, way)) for _ in range(2))
        assert let_go.read()["type"] == kept.read()["type"] == "leaderboard.update"
        kept.send(json.dumps({"type": "authenticate", "token": token(user)}))
        assert let_go.ended() == (4401, "expired_token")
        marker, _ = lead(service)
        kept.read_until(lambda message: best(message) == marker)


def test_token_is_not_logged_at_any_level(run_service, module_database):
    uri, name = module_database
    chatty = run_service("--log-level", "debug", uri=uri, database=name)
    good, bad = token(new_user()), f"{token(new_user())}x"
    for way in ("query", "header", "message"):
        with opened_as(chatty, good, way) as socket:
            socket.read()
        with opened_as(chatty, bad, way) as socket:
            assert socket.ended() == (4401, "invalid_token")
    assert chatty.get("/api/leaderboard", token=good).status == 200
    refused = chatty.get(f"/api/leaderboard?token={good}", token=good)
    assert (refused.status, good in refused.json["message"]) == (400, False), "a token is no argument of a read"
    assert '"logger":"leaderboard.access"' in chatty.log
    for text in (good, bad):
        assert not any(part in chatty.log for part in text.split("."))


def test_token_of_a_socket_is_not_in_the_log(service, twin):
    """None of the tokens that the tests above have sent."""
    for log in (service.log, twin.log):
        assert "eyJ" not in log
        assert "Traceback" not in log
        assert '"level":"error"' not in log
