"""Services killed under load at any moment: the ledger has one writer, no gaps and no duplicates."""

import asyncio
import random
import threading
import time
from collections import Counter
from http.client import HTTPException

import pytest
from pymongo import MongoClient

from tests.support.ledger import chains, problems
from tests.support.ledger_harness import open_ledger_harness
from tests.support.service import RunningService, token
from tests.support.wait import eventually, wait_until
from tornado_app.cli.main import main

pytestmark = pytest.mark.long

ROUNDS = 10
FLAGS = ("--auto-register", "--rate-limit", "600/60s")
PROGRAM = ("-m", "tests.support.short_lease_service")
FOLDING = ("-m", "tests.support.short_retention_service")


class Load:
    """Threads that score without a pause through any running service; `accepted` has the acknowledged actions."""

    def __init__(self, services):
        self.services = services
        self.accepted = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._play, args=(n,), daemon=True) for n in range(4)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _play(self, number):
        bearer = token("game", scope="scores:write", ttl=3600)
        for n in range(1_000_000):
            if self._stop.is_set():
                return
            player, action = f"p{n % 50}", f"{number}-{n}"
            body = {"user_id": player, "score_increase": n % 9 + 1}
            try:
                service = random.choice(self.services)
                answer = service.post("/api/v1/score", body, token=bearer, headers={"Idempotency-Key": action})
            except (OSError, HTTPException):  # it was killed
                continue
            if answer.status == 200:
                self.accepted.append((player, action))


@pytest.fixture
def start(tmp_path, mongo_database):
    uri, name = mongo_database
    running = []

    def run(program=PROGRAM):
        service = RunningService(*FLAGS, uri=uri, database=name, program=program)
        running.append(service)
        return service.start(tmp_path / f"log-{len(running)}")

    yield run
    for service in running:
        service.close()


@pytest.fixture
def database(mongo_database):
    with MongoClient(mongo_database[0], tz_aware=True) as client:
        yield client[mongo_database[1]]


def holder(database):
    """The process id of the current lease holder, or None."""
    state = database["leases"].aggregate([
        {"$match": {"_id": "ledger", "$expr": {"$gt": ["$until", "$$NOW"]}}}
    ])  # fmt: skip
    return next((int(found["holder"].split("/")[-2]) for found in state), None)


def writing(services, database):
    """The running service that holds the lease."""
    pid = holder(database)
    return next((service for service in services if service.process.pid == pid), None)


def wait_for_entries(database, more):
    wanted = database["ledger"].estimated_document_count() + more
    wait_until(lambda: database["ledger"].estimated_document_count() >= wanted, 60)


def wait_until_settled(database):
    last = []

    def is_complete():
        last[:] = problems(database)
        return not last

    try:
        wait_until(is_complete, 30)
    except AssertionError as error:
        raise AssertionError("\n".join(last[:20])) from error


@pytest.mark.timeout(600)
def test_ledger_is_complete_after_killed_writers(start, database):
    services = [start(), start()]
    with Load(services) as load:
        for _ in range(ROUNDS):
            writer = wait_until(lambda: writing(services, database), 60, "a service writes the ledger")
            wait_for_entries(database, random.randrange(300))  # any moment will do
            writer.kill()
            services[services.index(writer)] = start()
        enough = len(load.accepted) + 100
        wait_until(lambda: len(load.accepted) >= enough, 30)
    wait_until_settled(database)
    recorded = Counter(
        (entry["player"], entry["id"]) for own in chains(database).values() for entry in own if "id" in entry
    )
    assert [action for action in load.accepted if recorded[action] != 1] == []
    assert set(recorded.values()) == {1}
    assert database["ledger"].count_documents({"kind": {"$in": ["external", "reconciled"]}}) == 0
    assert database["leases"].find_one({"_id": "ledger"})["term"] >= ROUNDS


@pytest.mark.timeout(600)
def test_every_score_is_proved_after_killed_folds(start, database, mongo_database):
    uri, name = mongo_database
    services = [start(FOLDING), start(FOLDING)]
    with Load(services) as load:
        for _ in range(ROUNDS):
            writer = wait_until(lambda: writing(services, database), 60, "a service writes the ledger")
            wait_for_fold(database)
            time.sleep(random.random() / 10)  # any moment will do
            writer.kill()
            services[services.index(writer)] = start(FOLDING)
            assert main(["audit", "--mongodb-uri", uri, "--mongodb-database", name, "--rate-limit", "600/60s"]) == 0
        enough = len(load.accepted) + 100
        wait_until(lambda: len(load.accepted) >= enough, 30)
    wait_until_settled(database)
    wait_until(lambda: database["ledger"].count_documents({}) == 50, 60, "one entry of each player is left")
    wait_until_settled(database)
    assert sum(entry["n"] for entry in database["ledger"].find()) >= len(load.accepted)


def wait_for_fold(database):
    before = last_checkpoint(database)
    wait_until(lambda: last_checkpoint(database) > before, 60, "a fold")


def last_checkpoint(database):
    """The version of the newest checkpoint; 0 without one."""
    found = database["ledger"].find({"checkpoint": {"$exists": True}}).sort("version", -1).limit(1)
    return next((entry["version"] for entry in found), 0)


@pytest.mark.timeout(600)
async def test_ledger_is_complete_after_killed_primaries(three_members):
    async with open_ledger_harness(three_members.uri, "test") as harness:
        writer = await harness.start_writer()
        playing = asyncio.ensure_future(_play(harness))
        for _ in range(3):
            await eventually(lambda: writer.holds, 60)
            primary = await asyncio.to_thread(three_members.wait_primary)
            primary.kill()
            await asyncio.to_thread(three_members.wait_primary)
            await asyncio.to_thread(primary.start)
            await asyncio.to_thread(three_members.wait_healthy)
        playing.cancel()
        await asyncio.wait([playing])
        await harness.score("last")
        await harness.wait_complete(60)
        assert harness.sync["ledger"].count_documents({"kind": {"$ne": "action"}}) == 0


async def _play(harness):
    """Score without a pause. An action without a response may count or not; if it counts, the ledger has it."""
    for n in range(1_000_000):
        await asyncio.gather(*(harness.score(f"p{m}", n % 9 + 1) for m in range(20)), return_exceptions=True)


def test_second_service_takes_over_the_ledger_from_one_that_stops(start, database):
    services = [start(), start()]
    with Load(services):
        first = wait_until(lambda: writing(services, database), 60)
        for _ in range(20):
            assert sum(service.metric("leaderboard_ledger_writer") for service in services) <= 1
        second = next(service for service in services if service is not first)
        wait_until(lambda: first.metric("leaderboard_ledger_entries_total") > 50, 60)
        assert second.metric("leaderboard_ledger_entries_total") == 0
        began = time.monotonic()
        first.stop()
        services.remove(first)
        wait_until(lambda: second.metric("leaderboard_ledger_writer") == 1, 60)
        assert time.monotonic() - began < 60
        wait_until(lambda: second.metric("leaderboard_ledger_entries_total", kind="action") > 50, 60)
    wait_until_settled(database)
    wait_until(lambda: second.metric("leaderboard_ledger_lag_seconds") < 1, 10)
