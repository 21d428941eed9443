"""One tenant cannot hurt another: what is wrong with one resource stays there, and nothing foreign is taken."""

from __future__ import annotations

from base64 import b64encode

import msgspec
import pytest
from kubernetes.aio import client

from leaderboard_operator.cluster import Cluster as ApiServer
from leaderboard_operator.owned_objects import OwnedObjects
from tests.operator.boards import CHILDREN, OURS, PATIENCE, leaderboard
from tests.operator.samples import board
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared_operator")


def test_resource_that_cannot_be_read_is_a_condition_of_its_own(boards, tenant):
    """A label key that the API server takes and the operator does not, on a database of the same name."""
    huge = leaderboard(template={"metadata": {"labels": {"k" * 318: "v"}}})
    tenant.apply(huge)
    assert "Correct it" in tenant.wait("False", "Invalid")["message"]
    tenant.wait("True", "Invalid", "Degraded")
    boards.apply(leaderboard())
    boards.wait()
    tenant.patch({"spec": {"template": None}})
    tenant.wait()


def test_leaderboard_that_names_the_hosts_of_another_changes_nothing_for_it(boards, tenant):
    """The hostile one is older, and its Secret has the hosts of the other, without a password."""
    uri = f"mongodb://{boards.namespace}.example:27017/?replicaSet=rs0"
    secret = {"data": {"uri": b64encode(uri.encode()).decode()}}
    tenant.patch(secret, "secret", "arcade-mongo")
    tenant.apply(leaderboard())
    tenant.wait()
    boards.apply(leaderboard())
    boards.wait()
    boards.patch({"spec": {"replicas": 3}})
    wait_until(lambda: boards.get()["status"].get("readyReplicas") == 3, PATIENCE, "a rollout")
    tenant.delete()
    boards.delete("deployment", "arcade", "--wait=false")
    wait_until(lambda: boards.get("deployment"), PATIENCE, "the Deployment is created again")


def test_orphaned_objects_are_adopted_by_the_next_leaderboard_of_the_name(boards):
    boards.apply(leaderboard())
    boards.wait()
    before = boards.get("service")["metadata"]["uid"]
    boards.delete("leaderboard", "arcade", "--cascade=orphan")
    wait_until(lambda: "ownerReferences" not in boards.get("service")["metadata"], PATIENCE, "no owner")
    boards.apply(leaderboard())
    boards.wait()
    after = boards.get("service")["metadata"]
    assert after["uid"] == before
    assert [each["uid"] for each in after["ownerReferences"]] == [boards.get()["metadata"]["uid"]]


async def test_reconcile_that_a_deletion_overtakes_adopts_no_orphan(boards):
    """It read the Leaderboard before, and comes to the orphans after: with an owner that is gone they would end."""
    boards.apply(leaderboard())
    boards.wait()
    gone = boards.get()["metadata"]
    boards.delete("leaderboard", "arcade", "--cascade=orphan")
    wait_until(lambda: "ownerReferences" not in boards.get("service")["metadata"], PATIENCE, "no owner")
    folder = boards.cluster.folder
    cluster = ApiServer(
        client.Configuration(
            host=boards.cluster.url,
            ssl_ca_cert=str(folder / "ca.crt"),
            cert_file=str(folder / "admin.crt"),
            key_file=str(folder / "admin.key"),
        )
    )
    try:
        children = OwnedObjects(cluster)
        await children.discover()
        overtaken = msgspec.structs.replace(board(), namespace=gone["namespace"], name="arcade", uid=gone["uid"])
        assert await children.apply(overtaken, await children.find(overtaken), held=False) == []
    finally:
        await cluster.close()
    left = [each["metadata"] for kind in CHILDREN for each in boards.list(kind, OURS)]
    assert len(left) >= 5
    assert not [each for each in left if "ownerReferences" in each]


def test_leaderboard_that_is_applied_again_waits_for_the_objects_of_its_predecessor(boards):
    """They belong to a Leaderboard of the same name with another uid, and are garbage collected: no NameTaken."""
    boards.apply(leaderboard())
    boards.wait()
    for _ in range(3):
        boards.delete("leaderboard", "arcade", "--wait=true")
        boards.apply(leaderboard())
    boards.wait()
    reasons = {each["reason"] for each in boards.list("event")}
    assert "NameTaken" not in reasons
