"""mongod is killed and restarted under load: no acknowledged point is lost or doubled."""

import json
import threading
from collections import Counter
from itertools import count

import pytest
from websockets.sync.client import connect

from tests.support.mongod import ReplicaSet
from tests.support.service import RunningService, token
from tests.support.wait import wait_until

pytestmark = pytest.mark.long

PLAYERS = [f"p{n}" for n in range(8)]
KILLS = 3
LIMIT = ("--rate-limit", "600/1m", "--mongodb-timeout", "3s")


class Client(threading.Thread):
    """One player's client: every update has an id and is sent again until it is answered for good."""

    def __init__(self, services, player, stop):
        super().__init__(daemon=True)
        self.services, self.player, self.stop = services, player, stop
        self.acknowledged, self.scores, self.refusals, self.odd = 0, [], Counter(), []

    def run(self):
        for n in count():
            if self.stop.is_set():
                return
            self._one(f"{self.player}-{n}", n)
            self.stop.wait(0.05)

    def _one(self, action_id, n):
        for attempt in count():
            try:
                answer = self.services[(n + attempt) % 2].post(
                    "/api/score", {"score": 1}, token=token(self.player), headers={"Idempotency-Key": action_id}
                )
            except OSError as error:
                self.odd.append(repr(error))
                return
            if answer.status in (200, 201):
                self.acknowledged += 1
                self.scores.append(answer.json["score"])
                return
            self.refusals[answer.status, answer.json["error"], answer.headers["Retry-After"] is not None] += 1
            if answer.status < 500:
                self.odd.append(answer)
                return


@pytest.fixture
def services(own_replica_set: ReplicaSet, tmp_path):
    running = [RunningService(*LIMIT, uri=own_replica_set.uri).start(tmp_path / f"log{n}") for n in range(2)]
    yield running
    for service in running:
        service.close()


@pytest.mark.timeout(600)
def test_service_loses_nothing_when_mongod_is_killed_under_load(own_replica_set, services):
    mongod, stop = own_replica_set.members[0], threading.Event()
    clients = [Client(services, player, stop) for player in PLAYERS]
    with connect(f"{services[1].ws_url}/ws/scoreboard", max_size=None) as socket:
        for client in clients:
            client.start()
        for kill in range(KILLS):
            before = sum(c.acknowledged for c in clients)
            wait_until(lambda before=before: sum(c.acknowledged for c in clients) > before + 40, 60, "load")
            mongod.kill()
            for service in services:
                wait_until(lambda service=service: service.get("/readyz").status == 503, 60, f"shut after kill {kill}")
                assert service.get("/healthz").status == 200
            mongod.spawn()
            own_replica_set.wait_primary()
            for service in services:
                wait_until(lambda service=service: service.get("/readyz").status == 200, 60, f"open after kill {kill}")
        stop.set()
        for client in clients:
            client.join(60)
            assert not client.is_alive()

        expected = {client.player: client.acknowledged for client in clients}
        for service in services:
            wait_until(
                lambda service=service: scores(service) == expected, 60, "every page shows what was acknowledged"
            )
        read_until(socket, expected)  # the socket stayed open over all of it

    for client in clients:
        assert client.odd == []
        assert client.scores == list(range(1, client.acknowledged + 1))  # each id once, in order
        assert services[0].get(f"/api/v1/players/{client.player}").json["score"] == client.acknowledged
    refusals = sum((c.refusals for c in clients), Counter())
    assert all(retry for _, _, retry in refusals)
    assert {(status, code) for status, code, _ in refusals} <= {(500, "database_error"), (503, "overloaded")}
    for service in services:
        assert "Traceback" not in service.log
        assert "request failed" not in service.log


def by_player(message):
    return {row["user_id"]: row["score"] for row in message["top_scores"]}


def scores(service):
    return by_player(service.get("/api/top-scores").json)


def read_until(socket, expected):
    while by_player(json.loads(socket.recv(timeout=60))) != expected:
        pass
