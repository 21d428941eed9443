"""The kinds that not every cluster knows, on one that does: every built object is valid there, and they are made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from leaderboard_operator.resources import KINDS
from tests.cluster.build import CRDS, find
from tests.operator.boards import OPTIONAL, PATIENCE, leaderboard
from tests.operator.samples import BOARDS
from tests.support.cluster import Cluster
from tests.support.wait import wait_until


@pytest.fixture(scope="module")
def every_kind(crd: Cluster) -> Iterator[Cluster]:
    """The cluster with the CRDs of the Prometheus operator and of the Gateway API."""
    files = [f"--filename={find(name)}" for name in CRDS]
    crd.kubectl("apply", "--server-side", *files)
    crd.kubectl("wait", "--for=condition=Established", *files, "--timeout=30s")
    yield crd
    crd.kubectl("delete", *files)


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
    boards.patch({"spec": {"monitoring": {"slo": {"availability": "99.95"}}}})
    wait_until(lambda: "> 14.4 * 0.0005" in str(boards.get("prometheusrule")), PATIENCE, "the new objective")
    for kind in ("servicemonitor", "prometheusrule"):
        boards.delete(kind)
        wait_until(lambda kind=kind: boards.get(kind), PATIENCE, f"the {kind}")
    switched_off = {"serviceMonitor": "Disabled", "rules": "Disabled"}
    boards.patch({"spec": {"exposure": {"gateway": None}, "monitoring": switched_off}})
    wait_until(lambda: not any(boards.get(kind) for kind in OPTIONAL), PATIENCE, "none of them")
