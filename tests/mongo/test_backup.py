"""The procedures of docs/backup.md on real mongods: backup, restore, another database, other credentials.

A backup is a copy of the files of a stopped mongod. MongoDB's tools, which copy a running one, are not installed here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import Any

import pytest
from pymongo import MongoClient

from tests.support.mongod import Mongod, ReplicaSet
from tests.support.service import Answer, RunningService, token
from tests.support.wait import wait_until
from tornado_app.auth import keys, proofs
from tornado_app.cli.main import main

pytestmark = pytest.mark.long

PROOF_KEY = token_urlsafe(32)
START = Callable[..., RunningService]


@pytest.fixture
def replica_set() -> Iterator[ReplicaSet]:
    with ReplicaSet() as running:
        yield running


@pytest.fixture
def start(replica_set: ReplicaSet, tmp_path: Path) -> Iterator[START]:
    """A function that starts services of the board `arcade`; the fixture stops them."""
    made: list[RunningService] = []

    def start(uri: str = replica_set.uri, database: str = "arcade") -> RunningService:
        service = RunningService(uri=uri, database=database, env={"LEADERBOARD_PROOF_KEY": PROOF_KEY})
        made.append(service)
        return service.start(tmp_path / f"service-{len(made)}.log")

    yield start
    for each in made:
        each.close()


def score(service: RunningService, id_: str, points: int, **headers: str) -> Answer:
    sent = {"Idempotency-Key": id_} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = service.post("/api/score", {"score": points}, token=token("alice"), headers=sent)
    assert answer.status in (200, 201), answer
    return answer


def replayed(answer: Answer) -> bool:
    return answer.headers.get("Idempotent-Replay") == "true"


def back_up(member: Mongod, folder: Path) -> None:
    member.terminate()
    shutil.copytree(member.folder, folder)
    member.start()


def restore(member: Mongod, folder: Path) -> None:
    member.terminate()
    shutil.rmtree(member.folder)
    shutil.copytree(folder, member.folder)
    member.start()


def audit(uri: str, database: str = "arcade") -> int:
    return main(["audit", "--mongodb-uri", uri, "--mongodb-database", database])


def scores(service: RunningService) -> list[int]:
    """The scores of `GET /api/v1/leaderboard`; empty if it fails."""
    answer = service.get("/api/v1/leaderboard")
    return [row["score"] for row in answer.json["players"]] if answer.status == 200 else []


def wait_for_ledger(service: RunningService) -> None:
    """Wait until the ledger has every update."""
    wait_until(lambda: service.metric("leaderboard_ledger_lag_seconds") == 0, 30, "the ledger is complete")


def test_restore_resets_scores_and_ledger_and_forgets_later_ids(replica_set, start, tmp_path):
    (member,) = replica_set.members
    service = start()
    score(service, "before", 5)
    wait_for_ledger(service)
    service.stop()
    back_up(member, tmp_path / "backup")
    replica_set.wait_primary()

    service = start()
    proof = proofs.sign_action(
        keys.signing_secret(PROOF_KEY), sub="alice", action_type="boss", points=7, action_id="after", ttl=60
    )
    assert score(service, "after", 7, Action_Proof=proof).json["score"] == 12
    assert replayed(score(service, "after", 7, Action_Proof=proof))
    wait_for_ledger(service)
    service.stop()
    restore(member, tmp_path / "backup")
    replica_set.wait_primary()

    service = start()
    assert scores(service) == [5]
    before = score(service, "before", 5)
    assert (replayed(before), before.json["score"]) == (True, 5), "an older id is still a replay"
    after = score(service, "after", 7, Action_Proof=proof)
    assert (replayed(after), after.json["score"]) == (False, 12), "a later id counts once more, and so does its proof"
    assert replayed(score(service, "after", 7, Action_Proof=proof))
    wait_for_ledger(service)
    assert audit(replica_set.uri) == 0


def test_copied_collections_without_leases_are_the_same_board(replica_set, start):
    """The lease of the ledger has a resume token of the old database's change stream."""
    service = start()
    score(service, "before", 5)
    wait_for_ledger(service)
    service.stop()
    with MongoClient(replica_set.uri) as client:
        for name in set(client["arcade"].list_collection_names()) - {"leases"}:
            client["arcade"][name].aggregate([{"$out": {"db": "moved", "coll": name}}])

    service = start(database="moved")
    assert replayed(score(service, "before", 5))
    assert score(service, "after", 7).json["score"] == 12
    wait_for_ledger(service)
    assert audit(replica_set.uri, "moved") == 0
    assert service.metric("leaderboard_ledger_entries_total", kind="reconciled") == 0


@pytest.fixture
def authenticated_replica_set(tmp_path: Path) -> Iterator[ReplicaSet]:
    """A replica set that requires credentials, with the user `root`."""
    key = tmp_path / "keyfile"
    key.write_text(token_hex(32))  # a keyfile is base64, without the - and _ of URLs
    key.chmod(0o600)
    with ReplicaSet(options=("--auth", f"--keyFile={key}")) as running:
        with running.members[0].client() as client:
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        yield running


def test_database_user_is_replaced_without_a_failed_update(authenticated_replica_set, start):
    def uri(user: str) -> str:
        return authenticated_replica_set.uri.replace("://", f"://{user}:{user}@") + "&authSource=admin"

    def create(client: Any, user: str) -> None:
        client.admin.command("createUser", user, pwd=user, roles=[{"role": "readWrite", "db": "arcade"}])

    with MongoClient(uri("root")) as client:
        create(client, "old")
        old = start(uri("old"))
        score(old, "one", 5)
        create(client, "new")
        new = start(uri("new"))  # a rollout: both run for a while
        score(old, "two", 5)
        score(new, "three", 5)
        old.stop()
        client.admin.command("dropUser", "old")
        assert score(new, "four", 5).json["score"] == 20
        wait_for_ledger(new)
    with pytest.raises(AssertionError, match="MongoDB refuses the user or password"):
        start(uri("old"))


def test_running_service_follows_a_restore(replica_set, start, tmp_path):
    (member,) = replica_set.members
    service = start()
    score(service, "before", 5)
    wait_for_ledger(service)
    back_up(member, tmp_path / "backup")
    replica_set.wait_primary()
    wait_until(lambda: service.readiness()[0] == 200, 60, "it serves again")
    score(service, "after", 7)
    wait_for_ledger(service)
    restore(member, tmp_path / "backup")
    replica_set.wait_primary()
    wait_until(lambda: scores(service) == [5], 60, "the board is that of the backup")
    assert not replayed(score(service, "after", 7)), "the process does not answer from its cache"
    wait_until(lambda: scores(service) == [12], 60, "the board moves again")
