"""A client of the live board, and players who move it."""

import contextlib
import json
from itertools import count
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.service import token
from tests.support.wait import wait_until

PATIENCE = 15.0
PATHS = ("/ws/scoreboard", "/ws/score", "/ws/leaderboard")
SERVER = token("game-1", scope="scores:write")

_leads = count(1)


class Socket:
    """One WebSocket, read message by message."""

    def __init__(self, client):
        self.client = client

    def read(self):
        """The next message."""
        return json.loads(self.client.recv(PATIENCE))

    def read_until(self, condition):
        """All messages up to the first that fulfils `condition`."""
        found = [self.read()]
        while not condition(found[-1]):
            found.append(self.read())
        return found

    def send(self, message):
        self.client.send(message)

    def ended(self):
        """Code and reason of the close, once all messages before it are read."""
        with pytest.raises(ConnectionClosed) as closed:
            for _ in iter(lambda: self.client.recv(PATIENCE), None):
                pass
        received = closed.value.rcvd
        return (received.code, received.reason) if received else "the connection broke off"


@contextlib.contextmanager
def opened(service, path="/ws/scoreboard", *, headers=None, origin=None):
    """A socket that is closed at the end."""
    with connect(
        service.ws_url + path, additional_headers=headers, origin=origin, proxy=None, compression=None,
        open_timeout=PATIENCE, close_timeout=PATIENCE, ping_interval=None,
    ) as client:  # fmt: skip
        yield Socket(client)


def new_user():
    return f"u-{uuid4().hex[:12]}"


def add(service, user, points):
    """Points by the game server; the new score."""
    answer = service.post("/api/v1/score", {"user_id": user, "score_increase": points}, token=SERVER)
    assert answer.status == 200, answer
    return answer.json["new_score"]


def register(service, user=None, **profile):
    """A player with no points yet."""
    user = user or new_user()
    answer = service.call("PUT", f"/api/v1/players/{user}", profile, token=SERVER)
    assert answer.status in (200, 201), answer
    return user


def lead(service, user=None, **profile):
    """Give a player, by default a new one, more points than all others; return user id and score."""
    user = register(service, user, **profile)
    return user, add(service, user, next(_leads) * 10**6 + 1)


def fill(service, players=12):
    """A full top 10, and two below; best first, once every reader is shown it."""
    users = [lead(service, username=f"Player {n} ✨", avatar_url=f"https://x.test/{n}.png")[0] for n in range(players)]
    best = users[::-1][:10]
    wait_until(lambda: [row["user_id"] for row in top(service)] == best, what="the players lead")
    return users[::-1]


def top(service):
    return service.get("/api/top-scores").json["top_scores"]


def best(message):
    """The user at the top of a message of any frontend, None if it names none."""
    if message.get("event") == "update":
        return message["top_scores"][0]["user_id"]
    if message.get("event") == "leaderboard:update":
        return message["data"]["leaderboard"][0]["user_id"]
    places = message["data"].get("updatedPositions", [])
    return next((place["userId"] for place in places if place["position"] == 1), None)
