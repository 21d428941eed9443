"""Deletion: only owned objects and databases are deleted, it always ends, and the operator connects to no database."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pymongo import MongoClient

from tests.support.drop_jobs import DROP_SELECTOR, UNSCHEDULABLE, drop_pod, run_pod
from tests.support.leaderboards import TIMEOUT, Leaderboards, leaderboard, secret, spec
from tests.support.wait import wait_until
from tornado_app.mongo.ownership import METADATA

pytestmark = pytest.mark.usefixtures("shared_operator")

UNREACHABLE_URI = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"
DATABASE_KEPT = 3


def with_delete_policy(leaderboards: Leaderboards, uri: str, name: str = "scores", **changes) -> dict:
    """A Leaderboard with the deletion policy Delete and unschedulable pods, after its Secret is created."""
    leaderboards.apply(secret("arcade-mongo", uri=uri))
    database = {
        "connectionSecretRef": {"name": "arcade-mongo", "key": "uri"},
        "name": name,
        "deletionPolicy": "Delete",
    }
    return leaderboard(**spec(database=database, template=UNSCHEDULABLE, **changes))


def create_with_delete_policy(leaderboards: Leaderboards, uri: str, name: str = "scores", **changes) -> str:
    """Create it, wait for its finalizer, and return its uid."""
    leaderboards.apply(with_delete_policy(leaderboards, uri, name, **changes))
    leaderboards.wait("False", "Starting")
    wait_until(lambda: "finalizers" in leaderboards.get()["metadata"], TIMEOUT, "the finalizer")
    return leaderboards.get()["metadata"]["uid"]


def delete(leaderboards: Leaderboards, *flags: str) -> None:
    leaderboards.delete("leaderboard", "arcade", "--wait=false", *flags)


def wait_deleted(leaderboards: Leaderboards) -> None:
    wait_until(lambda: leaderboards.get() is None, TIMEOUT, "no Leaderboard")


def event_message(leaderboards: Leaderboards, reason: str, namespace: str | None = None) -> str:
    """Wait for an Event about a Leaderboard of this namespace or about the namespace, and return its message."""
    path = f"/api/v1/namespaces/{namespace or leaderboards.namespace}/events"

    def message() -> str:
        for event in (leaderboards.reader.get(path) or {"items": []})["items"]:
            regarding = event["involvedObject"]
            if event["reason"] == reason and leaderboards.namespace in (regarding.get("namespace"), regarding["name"]):
                return str(event["message"])
        return ""

    return wait_until(message, TIMEOUT, f"an Event {reason}")


@pytest.fixture
def used_database(mongo_database) -> Iterator[tuple[str, str, MongoClient]]:
    """URI and name of a database with data, and a client."""
    uri, name = mongo_database
    with MongoClient(uri) as client:
        client[name]["players"].insert_one({"_id": "alice", "score": 7})
        client[name]["ledger"].insert_one({"_id": "1"})
        yield uri, name, client


def set_owner(client: MongoClient, database: str, namespace: str, name: str, uid: str) -> None:
    """Record an owner in the database, as the service does when it starts (tests/mongo/test_ownership.py)."""
    client[database][METADATA].insert_one({"_id": "owner", "namespace": namespace, "name": name, "uid": uid})


def test_drop_of_shared_database_drops_only_collections_of_the_service(leaderboards, used_database, tmp_path):
    uri, name, client = used_database
    client[name]["inventory"].insert_one({"_id": "sword"})
    uid = create_with_delete_policy(leaderboards, uri, name)
    set_owner(client, name, leaderboards.namespace, "arcade", uid)
    delete(leaderboards)
    pod = drop_pod(leaderboards)
    assert leaderboards.get("deployment") is None, "the Deployment is deleted before the database"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountToken" not in str(pod["spec"]["volumes"]), "no token"
    assert run_pod(leaderboards, pod, tmp_path) == 0
    wait_deleted(leaderboards)
    assert client[name].list_collection_names() == ["inventory"]
    assert name in event_message(leaderboards, "DatabaseDropped")
    wait_until(lambda: not leaderboards.list("job") and not leaderboards.list("pod", DROP_SELECTOR), TIMEOUT, "no Job")


@pytest.mark.parametrize("owner", ["other", "none", "predecessor"])
def test_drop_with_other_owner_keeps_database_and_deletes_leaderboard(leaderboards, used_database, tmp_path, owner):
    uri, name, client = used_database
    create_with_delete_policy(leaderboards, uri, name)
    if owner == "other":
        set_owner(client, name, "production", "arcade", "uid-of-production")
    elif owner == "predecessor":
        set_owner(client, name, leaderboards.namespace, "arcade", "uid-of-the-predecessor")
    before = sorted(client[name].list_collection_names())
    delete(leaderboards)
    assert run_pod(leaderboards, drop_pod(leaderboards), tmp_path) == DATABASE_KEPT
    wait_deleted(leaderboards)
    assert sorted(client[name].list_collection_names()) == before
    assert client[name]["players"].find_one() == {"_id": "alice", "score": 7}
    assert name in event_message(leaderboards, "DatabaseKept")


def test_drop_that_fails_is_reported_and_ends_with_retain(leaderboards, tmp_path):
    create_with_delete_policy(leaderboards, UNREACHABLE_URI)
    delete(leaderboards)
    assert run_pod(leaderboards, drop_pod(leaderboards), tmp_path) == 1
    message = leaderboards.wait("False", "DatabaseNotDropped")["message"]
    assert "MongoDB cannot be reached" in message
    assert "deletionPolicy to Retain" in message
    leaderboards.wait("True", "DatabaseNotDropped", "Stalled")
    leaderboards.patch({"spec": {"database": {"deletionPolicy": "Retain"}}})
    wait_deleted(leaderboards)
    wait_until(lambda: not leaderboards.list("job"), TIMEOUT, "no Job")


def test_drop_without_secret_waits_for_it(leaderboards, used_database, tmp_path):
    uri, name, client = used_database
    set_owner(client, name, leaderboards.namespace, "arcade", create_with_delete_policy(leaderboards, uri, name))
    leaderboards.delete("secret", "arcade-mongo")
    delete(leaderboards)
    assert "'arcade-mongo' does not exist" in leaderboards.wait("False", "DatabaseNotDropped")["message"]
    leaderboards.apply(secret("arcade-mongo", uri=uri))
    assert run_pod(leaderboards, drop_pod(leaderboards), tmp_path) == 0
    wait_deleted(leaderboards)
    assert name not in client.list_database_names()


def test_drop_in_foreground_deletion_finishes(leaderboards, used_database, tmp_path):
    uri, name, client = used_database
    set_owner(client, name, leaderboards.namespace, "arcade", create_with_delete_policy(leaderboards, uri, name))
    delete(leaderboards, "--cascade=foreground")
    assert run_pod(leaderboards, drop_pod(leaderboards), tmp_path) == 0
    wait_deleted(leaderboards)
    assert name not in client.list_database_names()


def test_deletion_with_deployment_of_other_owner_keeps_it(leaderboards, used_database, tmp_path):
    uri, name, _ = used_database
    pod = {"containers": [{"name": "game", "image": "game:1"}]}
    labels = {"app": "game"}
    game = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "arcade"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    leaderboards.apply(game)
    uid = leaderboards.get("deployment")["metadata"]["uid"]
    leaderboards.apply(with_delete_policy(leaderboards, uri, name))
    leaderboards.wait("False", "NameTaken")
    delete(leaderboards)
    assert run_pod(leaderboards, drop_pod(leaderboards), tmp_path) == DATABASE_KEPT
    wait_deleted(leaderboards)
    live = leaderboards.get("deployment")["metadata"]
    assert live["uid"] == uid
    assert "deletionTimestamp" not in live


def test_deletion_of_paused_leaderboard_waits_for_unpause(leaderboards, used_database, tmp_path):
    uri, name, client = used_database
    set_owner(client, name, leaderboards.namespace, "arcade", create_with_delete_policy(leaderboards, uri, name))
    leaderboards.patch({"spec": {"paused": True}})
    leaderboards.wait("False", "Paused", "Reconciling")
    delete(leaderboards)
    assert "spec.paused" in leaderboards.wait("False", "PausedDeletion", "Reconciling")["message"]
    assert "deletionTimestamp" not in leaderboards.get("deployment")["metadata"]
    assert leaderboards.list("job") == []
    leaderboards.patch({"spec": {"paused": False}})
    assert run_pod(leaderboards, drop_pod(leaderboards), tmp_path) == 0
    wait_deleted(leaderboards)
    assert name not in client.list_database_names()


def nothing(_: Leaderboards) -> None:
    """Only the namespace is deleted."""


def secret_first(leaderboards: Leaderboards) -> None:
    leaderboards.delete("secret", "arcade-mongo")


def leaderboard_first(leaderboards: Leaderboards) -> None:
    delete(leaderboards)
    drop_pod(leaderboards)


def secret_then_leaderboard(leaderboards: Leaderboards) -> None:
    secret_first(leaderboards)
    delete(leaderboards)
    leaderboards.wait("False", "DatabaseNotDropped")


def paused(leaderboards: Leaderboards) -> None:
    leaderboards.patch({"spec": {"paused": True}})
    leaderboards.wait("False", "Paused", "Reconciling")


@pytest.mark.parametrize("before", [nothing, secret_first, leaderboard_first, secret_then_leaderboard, paused])
def test_deletion_of_namespace_keeps_database_and_ends(leaderboards, before):
    create_with_delete_policy(leaderboards, UNREACHABLE_URI)
    before(leaderboards)
    leaderboards.cluster.kubectl("delete", "namespace", leaderboards.namespace, "--timeout=100s")
    assert "is kept" in event_message(leaderboards, "DatabaseKept", "default")


@contextmanager
def listener() -> Iterator[tuple[int, list[str]]]:
    """A port, and the addresses that connect to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        connected: list[str] = []
        yield server.getsockname()[1], connected
        try:
            while True:
                connection, address = server.accept()
                connection.close()
                connected.append(str(address))
        except TimeoutError:
            pass


OIDC = "&authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:k8s"


@pytest.mark.parametrize("options", ["", OIDC, "&tls=true&tlsCertificateKeyFile=/etc/passwd"])
def test_operator_with_any_connection_string_opens_no_connection(leaderboards, options):
    """From the first reconcile to the Job of the deletion, only pods use the connection string."""
    with listener() as (port, connected):
        create_with_delete_policy(leaderboards, f"mongodb://127.0.0.1:{port}/?directConnection=true{options}")
        delete(leaderboards)
        drop_pod(leaderboards)
    assert connected == []


def test_operator_imports_no_database_driver():
    program = "import leaderboard_operator.run, sys; print({'pymongo', 'bson', 'motor'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
