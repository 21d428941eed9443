"""Leader election: only one operator writes, according to the audit log of the API server."""

from __future__ import annotations

import itertools
import logging
import time
from typing import Any

import pytest

from tests.support.fleet import create_fleet, metric_sum, requests
from tests.support.leaderboards import TIMEOUT, leaderboard
from tests.support.operator import ACCOUNT, RELEASE, Operator
from tests.support.wait import wait_until

TAKEOVER_SECONDS = 20.0
"""Maximum time from the kill of a leader to the first write of another operator."""

log = logging.getLogger(__name__)

READS = ("get", "list", "watch")


def writes(cluster, mark: int, account: str) -> list[dict[str, Any]]:
    return [entry for entry in requests(cluster, mark, account) if entry["verb"] not in READS]


def writer(entry: dict[str, Any]) -> str:
    """The id of the token, which differs between processes."""
    return entry["user"]["extra"]["authentication.kubernetes.io/credential-id"][0]


@pytest.fixture
def pair(install, run_operator, leaderboards) -> tuple[Operator, Operator]:
    """Two operators of one namespace, with a Role only. The first is the leader."""
    installation = install(watch=(leaderboards.namespace,))
    first = run_operator(installation)
    wait_until(lambda: is_leader(first), TIMEOUT, "a leader")
    return first, run_operator(installation)


def is_leader(operator: Operator) -> bool:
    return 'leader_election_master_status{name="leaderboard"} 1.0' in (operator.get("/metrics") or "")


def recreate_service(leaderboards) -> float:
    """Seconds until a deleted Service exists again."""
    start = time.monotonic()
    leaderboards.delete("service")
    wait_until(lambda: leaderboards.get("service"), TIMEOUT, "the Service")
    return time.monotonic() - start


def check_standby(operator: Operator) -> None:
    """An operator without the lease is healthy."""
    assert not is_leader(operator)
    assert operator.get("/healthz") == "ok"


def test_leader_killed_is_replaced_and_only_one_writes(pair, leaderboards):
    first, second = pair
    mark = leaderboards.cluster.audit_mark()
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    check_standby(second)
    first.kill()
    seconds = recreate_service(leaderboards)
    assert seconds < TAKEOVER_SECONDS
    wait_until(lambda: is_leader(second), TIMEOUT, "the new leader")
    leaderboards.patch({"spec": {"replicas": 3}})
    wait_until(lambda: leaderboards.get()["status"].get("readyReplicas") == 3, TIMEOUT, "three pods")
    check_one_writer_at_a_time(leaderboards, mark)


def check_one_writer_at_a_time(leaderboards, mark: int) -> None:
    """Two operators wrote, the second only after the last write of the first."""
    writers = [writer(entry) for entry in writes(leaderboards.cluster, mark, f"{RELEASE}-leaderboard-operator")]
    changes = sum(before != after for before, after in itertools.pairwise(writers))
    assert (len(set(writers)), changes) == (2, 1)


def test_leader_frozen_exits_after_thaw(pair, leaderboards):
    """After a freeze that is longer than its lease, it must not write any more."""
    first, second = pair
    mark = leaderboards.cluster.audit_mark()
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    wait_until(lambda: ready_events(leaderboards), TIMEOUT, "its last write")
    first.freeze()
    recreate_service(leaderboards)
    wait_until(lambda: is_leader(second), TIMEOUT, "the new leader")
    first.thaw()
    wait_until(lambda: first.process.poll() is not None, TIMEOUT, "its exit")
    leaderboards.patch({"spec": {"replicas": 3}})
    wait_until(lambda: leaderboards.get()["status"].get("readyReplicas") == 3, TIMEOUT, "three pods")
    check_one_writer_at_a_time(leaderboards, mark)


def test_leader_stopped_releases_lease(pair, leaderboards):
    first, second = pair
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    assert first.terminate() == 0
    assert recreate_service(leaderboards) < TAKEOVER_SECONDS / 2
    assert is_leader(second)


def renewals(leaderboards, mark: int) -> list[str]:
    """The verbs of the requests for leases since the mark."""
    entries = leaderboards.cluster.audited(mark)
    return [entry["verb"] for entry in entries if entry.get("objectRef", {}).get("resource") == "leases"]


def test_leader_renews_lease_with_one_request(run_operator, install, leaderboards):
    installation = install(watch=(leaderboards.namespace,))
    leader = run_operator(installation)
    wait_until(lambda: is_leader(leader), TIMEOUT, "a leader")
    mark = leaderboards.cluster.audit_mark()
    wait_until(lambda: renewals(leaderboards, mark).count("update") >= 3, TIMEOUT, "renewals")
    assert set(renewals(leaderboards, mark)) == {"update"}
    mark = leaderboards.cluster.audit_mark()
    namespace = ("--namespace", installation.namespace)
    leaderboards.cluster.kubectl("annotate", "lease", ACCOUNT, "edited=yes", *namespace)
    wait_until(lambda: "get" in renewals(leaderboards, mark), TIMEOUT, "a read after the write of another client")
    wait_until(lambda: renewals(leaderboards, mark).count("update") >= 3, TIMEOUT, "renewals")
    assert is_leader(leader)
    lease = leaderboards.cluster.get("lease", ACCOUNT, installation.namespace)
    assert lease["metadata"]["annotations"]["edited"] == "yes"


def ready_events(leaderboards) -> int:
    """The number of Events about ready Leaderboards, which are the last writes for them."""
    return sum(event["reason"] == "Serving" for event in leaderboards.list("event"))


@pytest.mark.parametrize(
    ("count", "silence"), [(10, 15), pytest.param(200, 120, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_leader_of_unchanged_fleet_writes_nothing(install, run_operator, leaderboards, count, silence):
    operator = run_operator(install(watch=(leaderboards.namespace,)))
    mark = leaderboards.cluster.audit_mark()
    seconds = create_fleet(leaderboards, count)
    account = f"{RELEASE}-leaderboard-operator"
    request_count = len(requests(leaderboards.cluster, mark, account))
    reconciles = metric_sum(operator, "controller_runtime_reconcile_time_seconds_count")
    log.info("%d ready in %.0f s, %d reconciles, %d requests", count, seconds, reconciles, request_count)
    assert request_count < 34 * count + 10 * reconciles  # the objects of each, and what every reconcile reads
    wait_until(lambda: ready_events(leaderboards) == count, TIMEOUT, "the last Events")
    quiet = leaderboards.cluster.audit_mark()
    time.sleep(silence)  # the test asserts that nothing happens in this time
    entries = writes(leaderboards.cluster, quiet, account)
    assert [(entry["verb"], entry["requestURI"]) for entry in entries] == []
