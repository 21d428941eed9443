"""Several operators, one writer: shown from the API server's audit log."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.operator.boards import PATIENCE, leaderboard
from tests.support.operator import ACCOUNT, RELEASE, Operator
from tests.support.wait import wait_until

TAKEOVER = 20.0
"""Seconds from a leader's death to the first write of another."""

BATCH = 50
"""Leaderboards that one kubectl makes within its time, however busy the machine is."""

log = logging.getLogger(__name__)

READS = ("get", "list", "watch")


def requests(cluster, mark: int, account: str) -> list[dict[str, Any]]:
    """What operators asked since the mark, leases aside, oldest first."""
    return [
        each
        for each in cluster.audited(mark)
        if each["user"]["username"].endswith(account) and each.get("objectRef", {}).get("resource") != "leases"
    ]


def writes(cluster, mark: int, account: str) -> list[dict[str, Any]]:
    """What they wrote."""
    return [each for each in requests(cluster, mark, account) if each["verb"] not in READS]


def writer(entry: dict[str, Any]) -> str:
    """The token, of which each process has its own."""
    return entry["user"]["extra"]["authentication.kubernetes.io/credential-id"][0]


@pytest.fixture
def pair(install, run_operator, boards) -> tuple[Operator, Operator]:
    """Two operators that watch one namespace, with a Role alone; the first leads."""
    installation = install(watch=(boards.namespace,))
    first = run_operator(installation)
    wait_until(lambda: leads(first), PATIENCE, "a leader")
    return first, run_operator(installation)


def leads(operator: Operator) -> bool:
    return 'leader_election_master_status{name="leaderboard"} 1.0' in (operator.get("/metrics") or "")


def lost_service_returns(boards) -> float:
    """Seconds until a Service that is deleted now is back."""
    start = time.monotonic()
    boards.delete("service")
    wait_until(lambda: boards.get("service"), PATIENCE, "the Service")
    return time.monotonic() - start


def alone(operator: Operator) -> None:
    """An operator without a lease writes nothing, and is well."""
    assert not leads(operator)
    assert operator.get("/healthz") == "ok"


def test_a_dead_leader_is_replaced_in_time_and_never_two_write(pair, boards):
    first, second = pair
    mark = boards.cluster.audit_mark()
    boards.apply(leaderboard())
    boards.wait()
    alone(second)
    first.kill()
    took = lost_service_returns(boards)
    assert took < TAKEOVER
    wait_until(lambda: leads(second), PATIENCE, "the other leads")
    boards.patch({"spec": {"replicas": 3}})
    wait_until(lambda: boards.get()["status"].get("readyReplicas") == 3, PATIENCE, "three pods")
    one_after_the_other(boards, mark)


def one_after_the_other(boards, mark: int) -> None:
    """Two wrote, and the second only after the first's last write."""
    found = [writer(each) for each in writes(boards.cluster, mark, f"{RELEASE}-leaderboard-operator")]
    changes = sum(before != after for before, after in itertools.pairwise(found))
    assert (len(set(found)), changes) == (2, 1)


def test_a_leader_that_hangs_ends_when_it_comes_to(pair, boards):
    """Frozen for longer than its lease: when it goes on, it must not write with a right that it had once."""
    first, second = pair
    mark = boards.cluster.audit_mark()
    boards.apply(leaderboard())
    boards.wait()
    wait_until(lambda: told(boards), PATIENCE, "its last write")
    first.freeze()
    lost_service_returns(boards)
    wait_until(lambda: leads(second), PATIENCE, "the other leads")
    first.thaw()
    wait_until(lambda: first.process.poll() is not None, PATIENCE, "its end")
    boards.patch({"spec": {"replicas": 3}})
    wait_until(lambda: boards.get()["status"].get("readyReplicas") == 3, PATIENCE, "three pods")
    one_after_the_other(boards, mark)


def test_a_leader_that_is_told_to_stop_gives_its_lease_back(pair, boards):
    first, second = pair
    boards.apply(leaderboard())
    boards.wait()
    assert first.terminate() == 0
    assert lost_service_returns(boards) < TAKEOVER / 2
    assert leads(second)


def renewals(boards, mark: int) -> list[str]:
    """What was asked of leases since the mark: the verbs."""
    found = [each for each in boards.cluster.audited(mark) if each.get("objectRef", {}).get("resource") == "leases"]
    return [each["verb"] for each in found]


def test_leader_renews_its_lease_with_one_request(run_operator, install, boards):
    installation = install(watch=(boards.namespace,))
    leader = run_operator(installation)
    wait_until(lambda: leads(leader), PATIENCE, "a leader")
    mark = boards.cluster.audit_mark()
    wait_until(lambda: renewals(boards, mark).count("update") >= 3, PATIENCE, "renewals")
    assert set(renewals(boards, mark)) == {"update"}
    mark = boards.cluster.audit_mark()
    where = ("--namespace", installation.namespace)
    boards.cluster.kubectl("annotate", "lease", ACCOUNT, "edited=yes", *where)
    wait_until(lambda: "get" in renewals(boards, mark), PATIENCE, "it reads what another wrote")
    wait_until(lambda: renewals(boards, mark).count("update") >= 3, PATIENCE, "renewals")
    assert leads(leader)
    lease = boards.cluster.get("lease", ACCOUNT, installation.namespace)
    assert lease["metadata"]["annotations"]["edited"] == "yes"


def fleet(boards, count: int, meanwhile: Callable[[], None] = lambda: None) -> float:
    """Seconds until so many Leaderboards at once are ready; `meanwhile` is called again and again."""
    several = [leaderboard(f"board-{n}") for n in range(count)]
    for each in several:
        each["spec"]["database"]["name"] = each["metadata"]["name"]
        each["spec"]["replicas"] = 1
    start = time.monotonic()
    for each in range(0, count, BATCH):
        boards.create(*several[each : each + BATCH])

    def ready() -> bool:
        meanwhile()
        return len([each for each in boards.list("leaderboard") if is_ready(each)]) == count

    wait_until(ready, 60 + 3 * count, f"{count} Leaderboards ready", pause=1.0)
    return time.monotonic() - start


def told(boards) -> int:
    """Events of Leaderboards that became ready, the last that is written of each."""
    return len([each for each in boards.list("event") if each["reason"] == "Serving"])


def is_ready(board: dict[str, Any]) -> bool:
    found = {each["type"]: each["status"] for each in board.get("status", {}).get("conditions", [])}
    return (found.get("Ready"), found.get("Reconciling")) == ("True", "False")


@pytest.mark.parametrize(
    ("count", "silence"), [(10, 15), pytest.param(200, 120, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_a_fleet_that_stands_is_not_written_to(install, run_operator, boards, count, silence):
    operator = run_operator(install(watch=(boards.namespace,)))
    mark = boards.cluster.audit_mark()
    seconds = fleet(boards, count)
    account = f"{RELEASE}-leaderboard-operator"
    asked = len(requests(boards.cluster, mark, account))
    reconciles = counted(operator, "controller_runtime_reconcile_time_seconds_count")
    log.info("%d ready in %.0f s, %d reconciles, %d requests", count, seconds, reconciles, asked)
    assert asked / reconciles < 22
    wait_until(lambda: told(boards) == count, PATIENCE, "the last Events")
    quiet = boards.cluster.audit_mark()
    time.sleep(silence)  # what is shown is that nothing happens
    found = writes(boards.cluster, quiet, account)
    assert [(each["verb"], each["requestURI"]) for each in found] == []


def counted(operator: Operator, name: str) -> float:
    lines = [line for line in (operator.get("/metrics") or "").splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
