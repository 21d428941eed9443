"""Epochs of one second while processes and the database are killed: every score is in one result, once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, defaultdict

import pytest
from pymongo import MongoClient

from tests.service.test_boards import BoardsFile
from tests.support.service import RunningService, token
from tests.support.wait import wait_until

pytestmark = pytest.mark.long

SECONDS = 60
PLAYERS = 8


class Player:
    """Scores by ids of its own, each sent again until it is answered. `counted`: the points by epoch, as answered."""

    def __init__(self, name, services):
        self.name, self.services = name, services
        self.token = token(name)
        self.chance = random.Random(name)  # a repeatable order
        self.counted = Counter()
        self.sent = 0
        self.faults = []

    def play(self, until):
        while time.monotonic() < until:
            self.sent += 1
            self._score(self.chance.randrange(1, 9), f"{self.name}-{self.sent}")
            time.sleep(self.chance.uniform(0, 0.1))

    def _score(self, points, action_id):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                answer = self.chance.choice(self.services).post(
                    "/api/v1/scores", {"points": points}, token=self.token, headers={"Idempotency-Key": action_id}
                )
            except (OSError, ValueError):  # killed
                time.sleep(0.1)
                continue
            if answer.status == 200:
                self.counted[answer.json["periods"]["second"]["epoch"]] += points
                return
            if answer.status < 500:
                self.faults.append(answer.json)
                return
            time.sleep(0.1)
        self.faults.append(f"{action_id} was not answered")


def kill_in_turn(services, replica_set, tmp_path, until):
    """Kill a service, the other one, and the database, again and again; each is started again."""
    turn = 0
    while time.monotonic() < until - 12:
        time.sleep(4)
        turn += 1
        if turn % 3:
            service = services[turn % 2]
            service.kill()
            time.sleep(1)
            service.start(tmp_path / f"log-{turn}")
        else:
            replica_set.members[0].kill()
            time.sleep(1)
            replica_set.members[0].start()
    return turn


def test_every_score_is_in_the_result_of_its_epoch_once(own_replica_set, tmp_path):
    file = BoardsFile(tmp_path / "boards.yaml")
    second = {"every": "1s", "from": "2026-01-01T00:00", "keep": 1000}
    file.write(main={"periods": {"second": second}})
    flags = ("--boards-file", str(file.path), "--rate-limit", "1000/60s")
    services = [RunningService(*flags, uri=own_replica_set.uri, database="faults") for _ in range(2)]
    try:
        for number, service in enumerate(services):
            service.start(tmp_path / f"log{number}")
        players = [Player(f"p{number}", services) for number in range(PLAYERS)]
        until = time.monotonic() + SECONDS
        threads = [threading.Thread(target=player.play, args=(until,), daemon=True) for player in players]
        for thread in threads:
            thread.start()
        assert kill_in_turn(services, own_replica_set, tmp_path, until) >= 3
        for thread in threads:
            thread.join()
        assert [player.faults for player in players] == [[]] * PLAYERS
        last = max(max(player.counted) for player in players)
        with MongoClient(own_replica_set.uri) as client:
            database = client["faults"]
            wait_until(
                lambda: database["periods"].count_documents({"epoch": {"$lte": last}, "state": {"$ne": "sealed"}}) == 0,
                90,
                what="all results",
            )
            found = defaultdict(dict)
            for epoch in range(1, last + 1):
                for row in database[f"results.main.second.{epoch}"].find():
                    found[row["_id"]][epoch] = row["score"]
            scores = {row["_id"]: row["score"] for row in database["players"].find()}
            states = Counter(row["state"] for row in database["periods"].find({"epoch": {"$lte": last}}))
    finally:
        for service in services:
            service.close()
    assert not [path.name for path in tmp_path.glob("log*") if "late_update" in path.read_text(encoding="utf-8")]
    assert states["sealed"] == last
    assert last > SECONDS / 2
    for player in players:
        assert found[player.name] == dict(player.counted)
        assert scores[player.name] == sum(player.counted.values())
