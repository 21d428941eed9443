"""The kinds that not every cluster knows, on one that does: every built object is valid there, and they are made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from leaderboard_operator.resources import KINDS
from leaderboard_operator.run import RESYNC_SECONDS
from tests.cluster.build import CRDS, find
from tests.operator.boards import OPTIONAL, PATIENCE, leaderboard
from tests.operator.samples import BOARDS
from tests.support.cluster import Cluster
from tests.support.wait import wait_until


@contextmanager
def knowing_every_kind(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with the CRDs of the Prometheus operator and of the Gateway API."""
    files = [f"--filename={find(name)}" for name in CRDS]
    cluster.kubectl("apply", "--server-side", *files)
    cluster.kubectl("wait", "--for=condition=Established", *files, "--timeout=30s")
    try:
        yield cluster
    finally:
        cluster.kubectl("delete", *files)


@pytest.fixture(scope="module")
def every_kind(crd: Cluster) -> Iterator[Cluster]:
    with knowing_every_kind(crd) as cluster:
        yield cluster


def test_kinds_that_come_later_are_made_and_watched(crd, boards, run_operator, install):
    """Stands before those that need `every_kind`. What is deleted comes back long before all is looked at anyway."""
    operator = run_operator(install(watch=(boards.namespace,)))
    boards.apply(leaderboard(exposure={"gateway": {"parentRefs": [{"name": "public"}]}}))
    boards.wait("False", "NoGatewayApi")
    with knowing_every_kind(crd):
        mark = crd.audit_mark()
        wait_until(lambda: all(boards.get(kind) for kind in OPTIONAL), PATIENCE, "the objects of the new kinds")
        boards.wait()
        looks = [each for each in crd.audited(mark) if each["requestURI"] == "/apis/monitoring.coreos.com/v1"]
        assert len(looks) < 10, "a look now and then"
        start = time.monotonic()
        boards.delete("prometheusrule")
        wait_until(lambda: boards.get("prometheusrule"), PATIENCE, "the PrometheusRule")
        assert time.monotonic() - start < RESYNC_SECONDS
        assert operator.terminate() == 0


@pytest.mark.parametrize("name", BOARDS)
def test_the_api_server_takes_every_object(every_kind, namespace, name):
    """By its own schema and the restricted Pod Security Standard; warnings are failures."""
    for kind in KINDS:
        wanted = kind.build(BOARDS[name])
        if wanted is not None:
            wanted["metadata"]["namespace"] = namespace
            flags = ("--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "--filename=-")
            done = every_kind.kubectl("apply", *flags, stdin=yaml.safe_dump(wanted), check=False)
            assert done.returncode == 0, done.stderr


def test_optional_objects_come_and_go(every_kind, boards, run_operator, install):
    run_operator(install(watch=(boards.namespace,)))
    gateway = {"parentRefs": [{"name": "public"}], "hostnames": ["scores.example"]}
    boards.apply(leaderboard(exposure={"gateway": gateway}, monitoring={"slo": {"availability": "99.5"}}))
    boards.wait()
    assert boards.get("servicemonitor")["spec"]["endpoints"][0]["port"] == "metrics"
    assert "> 14.4 * 0.005" in str(boards.get("prometheusrule")["spec"])
    assert boards.get("httproute")["spec"]["hostnames"] == ["scores.example"]
    boards.wait("False", "NotAccepted", "Exposed")
    route = boards.get("httproute")
    assert route["spec"]["rules"][0]["timeouts"] == {"request": "0s"}
    conditions = [
        {
            "type": type_,
            "status": "True",
            "reason": type_,
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": route["metadata"]["generation"],
        }
        for type_ in ("Accepted", "ResolvedRefs")
    ]
    parent = {"parentRef": {"name": "public"}, "controllerName": "example.com/gateway", "conditions": conditions}
    boards.patch({"status": {"parents": [parent]}}, "httproute", "arcade", "--subresource=status")
    boards.wait("True", "Accepted", "Exposed")
    assert boards.get()["status"]["url"] == "https://scores.example"
    boards.patch({"spec": {"monitoring": {"slo": {"availability": "99.95"}}}})
    wait_until(lambda: "> 14.4 * 0.0005" in str(boards.get("prometheusrule")), PATIENCE, "the new objective")
    for kind in ("servicemonitor", "prometheusrule"):
        boards.delete(kind)
        wait_until(lambda kind=kind: boards.get(kind), PATIENCE, f"the {kind}")
    switched_off = {"serviceMonitor": "Disabled", "rules": "Disabled"}
    boards.patch({"spec": {"exposure": {"gateway": None}, "monitoring": switched_off}})
    wait_until(lambda: not any(boards.get(kind) for kind in OPTIONAL), PATIENCE, "none of them")
