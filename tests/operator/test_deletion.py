"""Deletion touches nothing of anybody else's and never hangs; the operator itself connects to no database."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pymongo import MongoClient

from tests.operator.boards import PATIENCE, Boards, leaderboard, secret, spec
from tests.operator.jobs import DROP, UNPLACED, drop_pod, run_pod
from tests.support.wait import wait_until
from tornado_app.mongo.ownership import METADATA

pytestmark = pytest.mark.usefixtures("shared_operator")

NOWHERE = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"
DATABASE_KEPT = 3


def doomed(boards: Boards, uri: str, name: str = "scores", **changes) -> dict:
    """A Leaderboard whose database goes with it, and the Secret; its pods find no node."""
    boards.apply(secret("arcade-mongo", uri=uri))
    database = {
        "connectionSecretRef": {"name": "arcade-mongo", "key": "uri"},
        "name": name,
        "deletionPolicy": "Delete",
    }
    return leaderboard(**spec(database=database, template=UNPLACED, **changes))


def begun(boards: Boards, uri: str, name: str = "scores", **changes) -> str:
    """Apply it, and wait until the operator has seen it; the uid."""
    boards.apply(doomed(boards, uri, name, **changes))
    boards.wait("False", "Starting")
    wait_until(lambda: "finalizers" in boards.get()["metadata"], PATIENCE, "the finalizer")
    return boards.get()["metadata"]["uid"]


def delete(boards: Boards, *flags: str) -> None:
    boards.delete("leaderboard", "arcade", "--wait=false", *flags)


def gone(boards: Boards) -> None:
    wait_until(lambda: boards.get() is None, PATIENCE, "no Leaderboard")


def event(boards: Boards, reason: str, namespace: str | None = None) -> str:
    """The message of an Event about the Leaderboards of this namespace, or about the namespace itself."""
    path = f"/api/v1/namespaces/{namespace or boards.namespace}/events"

    def found() -> str:
        return next(
            (
                each["message"]
                for each in (boards.reader.get(path) or {"items": []})["items"]
                if each["reason"] == reason
                and boards.namespace in (each["involvedObject"].get("namespace"), each["involvedObject"]["name"])
            ),
            "",
        )

    return wait_until(found, PATIENCE, f"an Event {reason}")


@pytest.fixture
def used(mongo_database) -> Iterator[tuple[str, str, MongoClient]]:
    """URI and name of a database that a service and another program have used, and a client."""
    uri, name = mongo_database
    with MongoClient(uri) as client:
        client[name]["players"].insert_one({"_id": "alice", "score": 7})
        client[name]["ledger"].insert_one({"_id": "1"})
        yield uri, name, client


def owned(client: MongoClient, name: str, namespace: str, board: str, uid: str) -> None:
    """What the service writes when it starts (tests/mongo/test_ownership.py)."""
    client[name][METADATA].insert_one({"_id": "owner", "namespace": namespace, "name": board, "uid": uid})


def test_drop_runs_as_a_job_and_takes_the_services_collections_alone(boards, used, tmp_path):
    uri, name, client = used
    client[name]["inventory"].insert_one({"_id": "sword"})
    uid = begun(boards, uri, name)
    owned(client, name, boards.namespace, "arcade", uid)
    delete(boards)
    pod = drop_pod(boards)
    assert boards.get("deployment") is None, "the Deployment ends before the database does"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountToken" not in str(pod["spec"]["volumes"]), "no token"
    assert run_pod(boards, pod, tmp_path) == 0
    gone(boards)
    assert client[name].list_collection_names() == ["inventory"]
    assert name in event(boards, "DatabaseDropped")
    wait_until(lambda: not boards.list("job") and not boards.list("pod", DROP), PATIENCE, "no Job")


@pytest.mark.parametrize("owner", ["another", "none", "an earlier one"])
def test_drop_of_a_database_of_another_owner_keeps_it_and_lets_the_leaderboard_go(boards, used, tmp_path, owner):
    uri, name, client = used
    begun(boards, uri, name)
    if owner == "another":
        owned(client, name, "production", "arcade", "uid-of-production")
    elif owner == "an earlier one":
        owned(client, name, boards.namespace, "arcade", "uid-of-an-earlier-one")
    before = sorted(client[name].list_collection_names())
    delete(boards)
    assert run_pod(boards, drop_pod(boards), tmp_path) == DATABASE_KEPT
    gone(boards)
    assert sorted(client[name].list_collection_names()) == before
    assert client[name]["players"].find_one() == {"_id": "alice", "score": 7}
    assert name in event(boards, "DatabaseKept")


def test_drop_that_fails_is_a_condition_and_retain_lets_go(boards, tmp_path):
    begun(boards, NOWHERE)
    delete(boards)
    assert run_pod(boards, drop_pod(boards), tmp_path) == 1
    message = boards.wait("False", "DatabaseNotDropped")["message"]
    assert "MongoDB cannot be reached" in message
    assert "deletionPolicy to Retain" in message
    boards.wait("True", "DatabaseNotDropped", "Stalled")
    boards.patch({"spec": {"database": {"deletionPolicy": "Retain"}}})
    gone(boards)
    wait_until(lambda: not boards.list("job"), PATIENCE, "no Job")


def test_drop_without_the_secret_waits_for_it(boards, used, tmp_path):
    uri, name, client = used
    owned(client, name, boards.namespace, "arcade", begun(boards, uri, name))
    boards.delete("secret", "arcade-mongo")
    delete(boards)
    assert "'arcade-mongo' does not exist" in boards.wait("False", "DatabaseNotDropped")["message"]
    boards.apply(secret("arcade-mongo", uri=uri))
    assert run_pod(boards, drop_pod(boards), tmp_path) == 0
    gone(boards)
    assert name not in client.list_database_names()


def test_drop_in_a_foreground_deletion_finishes(boards, used, tmp_path):
    uri, name, client = used
    owned(client, name, boards.namespace, "arcade", begun(boards, uri, name))
    delete(boards, "--cascade=foreground")
    assert run_pod(boards, drop_pod(boards), tmp_path) == 0
    gone(boards)
    assert name not in client.list_database_names()


def test_deletion_leaves_a_foreign_deployment_of_the_name(boards, used, tmp_path):
    uri, name, _ = used
    pod = {"containers": [{"name": "game", "image": "game:1"}]}
    labels = {"app": "game"}
    game = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "arcade"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    boards.apply(game)
    uid = boards.get("deployment")["metadata"]["uid"]
    boards.apply(doomed(boards, uri, name))
    boards.wait("False", "NameTaken")
    delete(boards)
    assert run_pod(boards, drop_pod(boards), tmp_path) == DATABASE_KEPT
    gone(boards)
    live = boards.get("deployment")["metadata"]
    assert live["uid"] == uid
    assert "deletionTimestamp" not in live


def test_paused_leaderboard_is_not_deleted_until_it_goes_on(boards, used, tmp_path):
    uri, name, client = used
    owned(client, name, boards.namespace, "arcade", begun(boards, uri, name))
    boards.patch({"spec": {"paused": True}})
    boards.wait("False", "Paused", "Reconciling")
    delete(boards)
    assert "spec.paused" in boards.wait("False", "PausedDeletion", "Reconciling")["message"]
    assert "deletionTimestamp" not in boards.get("deployment")["metadata"]
    assert boards.list("job") == []
    boards.patch({"spec": {"paused": False}})
    assert run_pod(boards, drop_pod(boards), tmp_path) == 0
    gone(boards)
    assert name not in client.list_database_names()


def nothing(_: Boards) -> None:
    """The namespace is all that is deleted."""


def secret_first(boards: Boards) -> None:
    boards.delete("secret", "arcade-mongo")


def leaderboard_first(boards: Boards) -> None:
    delete(boards)
    drop_pod(boards)


def secret_then_leaderboard(boards: Boards) -> None:
    secret_first(boards)
    delete(boards)
    boards.wait("False", "DatabaseNotDropped")


def paused(boards: Boards) -> None:
    boards.patch({"spec": {"paused": True}})
    boards.wait("False", "Paused", "Reconciling")


@pytest.mark.parametrize("before", [nothing, secret_first, leaderboard_first, secret_then_leaderboard, paused])
def test_namespace_that_is_deleted_never_hangs(boards, before):
    begun(boards, NOWHERE)
    before(boards)
    boards.cluster.kubectl("delete", "namespace", boards.namespace, "--timeout=100s")
    assert "is kept" in event(boards, "DatabaseKept", "default")


@contextmanager
def listener() -> Iterator[tuple[int, list[str]]]:
    """A port that notes who connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        seen: list[str] = []
        yield server.getsockname()[1], seen
        try:
            while True:
                connection, address = server.accept()
                connection.close()
                seen.append(str(address))
        except TimeoutError:
            pass


OIDC = "&authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:k8s"


@pytest.mark.parametrize("options", ["", OIDC, "&tls=true&tlsCertificateKeyFile=/etc/passwd"])
def test_operator_connects_to_no_connection_string_of_a_tenant(boards, options):
    """From its first sight to the Job of its deletion: only pods of the tenant use its connection string."""
    with listener() as (port, seen):
        begun(boards, f"mongodb://127.0.0.1:{port}/?directConnection=true{options}")
        delete(boards)
        drop_pod(boards)
    assert seen == []


def test_operator_loads_no_database_driver():
    program = "import leaderboard_operator.run, sys; print({'pymongo', 'bson', 'motor'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
