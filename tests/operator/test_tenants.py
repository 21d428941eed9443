"""One tenant cannot hurt another: what is wrong with one resource stays there, and nothing foreign is taken."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.operator.boards import PATIENCE, leaderboard
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
