"""Tenants do not affect each other, and objects change their owner only by adoption."""

from __future__ import annotations

from base64 import b64encode

import msgspec
import pytest
from kubernetes.aio import client

from leaderboard_operator.cluster import Cluster as ApiServer
from leaderboard_operator.owned_objects import OwnedObjects
from tests.support.leaderboard_views import view
from tests.support.leaderboards import TIMEOUT, leaderboard
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared_operator")


def test_invalid_resource_is_reported_and_does_not_affect_others(leaderboards, tenant):
    """The API server accepts the label key, the operator does not. Both databases have the same name."""
    invalid = leaderboard(template={"metadata": {"labels": {"k" * 318: "v"}}})
    tenant.apply(invalid)
    assert "Correct it" in tenant.wait("False", "Invalid")["message"]
    tenant.wait("True", "Invalid", "Degraded")
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    tenant.patch({"spec": {"template": None}})
    tenant.wait()


def test_connection_string_with_same_hosts_does_not_affect_other_tenant(leaderboards, tenant):
    """The older Leaderboard of another tenant has a Secret with the same hosts, without a password."""
    uri = f"mongodb://{leaderboards.namespace}.example:27017/?replicaSet=rs0"
    secret = {"data": {"uri": b64encode(uri.encode()).decode()}}
    tenant.patch(secret, "secret", "arcade-mongo")
    tenant.apply(leaderboard())
    tenant.wait()
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    leaderboards.patch({"spec": {"replicas": 3}})
    wait_until(lambda: leaderboards.get()["status"].get("readyReplicas") == 3, TIMEOUT, "a rollout")
    tenant.delete()
    leaderboards.delete("deployment", "arcade", "--wait=false")
    wait_until(lambda: leaderboards.get("deployment"), TIMEOUT, "the Deployment is created again")


def test_orphaned_objects_are_adopted_by_next_leaderboard_of_name(leaderboards):
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    before = leaderboards.get("service")["metadata"]["uid"]
    leaderboards.delete("leaderboard", "arcade", "--cascade=orphan")
    wait_until(lambda: "ownerReferences" not in leaderboards.get("service")["metadata"], TIMEOUT, "no owner")
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    after = leaderboards.get("service")["metadata"]
    assert after["uid"] == before
    assert [owner["uid"] for owner in after["ownerReferences"]] == [leaderboards.get()["metadata"]["uid"]]


async def test_reconcile_of_deleted_leaderboard_adopts_no_orphan(leaderboards):
    """It read the Leaderboard before its deletion. Objects with a deleted owner would be garbage collected."""
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    deleted = leaderboards.get()["metadata"]
    leaderboards.delete("leaderboard", "arcade", "--cascade=orphan")
    wait_until(lambda: "ownerReferences" not in leaderboards.get("service")["metadata"], TIMEOUT, "no owner")
    folder = leaderboards.cluster.folder
    cluster = ApiServer(
        client.Configuration(
            host=leaderboards.cluster.url,
            ssl_ca_cert=str(folder / "ca.crt"),
            cert_file=str(folder / "admin.crt"),
            key_file=str(folder / "admin.key"),
        )
    )
    try:
        owned = OwnedObjects(cluster)
        await owned.discover()
        outdated = msgspec.structs.replace(view(), namespace=deleted["namespace"], name="arcade", uid=deleted["uid"])
        assert await owned.apply(outdated, await owned.find(outdated), held=False) == []
    finally:
        await cluster.close()
    orphans = [live["metadata"] for live in leaderboards.owned_objects().values()]
    assert len(orphans) >= 5
    assert not [meta for meta in orphans if "ownerReferences" in meta]


def test_leaderboard_recreated_waits_for_objects_of_predecessor(leaderboards):
    """Objects of an earlier uid are garbage collected, and not reported as NameTaken."""
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    for _ in range(3):
        leaderboards.delete("leaderboard", "arcade", "--wait=true")
        leaderboards.apply(leaderboard())
    leaderboards.wait()
    reasons = {event["reason"] for event in leaderboards.list("event")}
    assert "NameTaken" not in reasons
