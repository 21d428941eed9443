"""The kinds that not every cluster knows, on one that does: every built object is valid there, and they are made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from leaderboard_operator.resources import KINDS
from leaderboard_operator.run import RESYNC_SECONDS
from tests.cluster.build import CRDS, GATEWAY, find
from tests.operator.boards import OPTIONAL, PATIENCE, Boards, Object, leaderboard
from tests.operator.samples import BOARDS
from tests.support.cluster import Cluster
from tests.support.kubernetes import need_programs
from tests.support.wait import wait_until


@contextmanager
def knowing_every_kind(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with the CRDs of the Prometheus operator and of the Gateway API."""
    need_programs(*GATEWAY)
    files = [f"--filename={find(name)}" for name in (*CRDS, *GATEWAY)]
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


def take_route(boards: Boards, parent: Object) -> None:
    """What the controller of a Gateway writes when it routes."""
    route = wait_until(lambda: boards.get("httproute"), PATIENCE, "the HTTPRoute")
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
    taken = {"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions}
    boards.patch({"status": {"parents": [taken]}}, "httproute", "arcade", "--subresource=status")


def test_optional_objects_come_and_go(every_kind, boards, run_operator, install):
    run_operator(install(watch=(boards.namespace,)))
    gateway = {"parentRefs": [{"name": "public"}], "hostnames": ["scores.example"]}
    boards.apply(leaderboard(exposure={"gateway": gateway}, monitoring={"slo": {"availability": "99.5"}}))
    boards.wait()
    assert boards.get("servicemonitor")["spec"]["endpoints"][0]["port"] == "metrics"
    assert "> 14.4 * 0.005" in str(boards.get("prometheusrule")["spec"])
    assert boards.get("httproute")["spec"]["hostnames"] == ["scores.example"]
    boards.wait("False", "NotAccepted", "Exposed")
    assert boards.get("httproute")["spec"]["rules"][0]["timeouts"] == {"request": "0s"}
    take_route(boards, {"name": "public"})
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


LISTENERS = [
    {"name": "plain", "protocol": "HTTP", "port": 8080},
    {"name": "secure", "protocol": "HTTPS", "port": 8443, "tls": {"certificateRefs": [{"name": "certificate"}]}},
]


@pytest.mark.parametrize(
    ("hostnames", "section", "url"),
    [
        (["scores.example"], "", "https://scores.example:8443"),
        (["scores.example"], "plain", "http://scores.example:8080"),
        ([], "plain", "http://192.0.2.7:8080"),
    ],
)
def test_url_is_that_of_the_gateways_listener(every_kind, boards, run_operator, install, hostnames, section, url):
    """With the right that the chart gives in one namespace."""
    run_operator(install(watch=(boards.namespace,)))
    parent = {"name": "public", **({"sectionName": section} if section else {})}
    make_gateway(boards)
    boards.apply(leaderboard(exposure={"gateway": {"parentRefs": [parent], "hostnames": hostnames}}))
    take_route(boards, parent)
    boards.wait("True", "Accepted", "Exposed")
    assert boards.get()["status"]["url"] == url


@pytest.mark.parametrize(
    ("everywhere", "url"), [(True, "https://scores.example:8443"), (False, "https://scores.example")]
)
def test_gateway_of_another_namespace_is_read_where_it_may_be(
    every_kind, boards, tenant, run_operator, install, everywhere, url
):
    run_operator(install() if everywhere else install(watch=(boards.namespace,)))
    parent = {"name": "public", "namespace": tenant.namespace}
    make_gateway(tenant)
    boards.apply(leaderboard(exposure={"gateway": {"parentRefs": [parent], "hostnames": ["scores.example"]}}))
    take_route(boards, parent)
    boards.wait("True", "Accepted", "Exposed")
    assert boards.get()["status"]["url"] == url
    boards.wait()


def make_gateway(boards: Boards) -> None:
    """A Gateway that got an address."""
    boards.apply(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "public"},
            "spec": {"gatewayClassName": "example", "listeners": LISTENERS},
        }
    )
    address = {"type": "IPAddress", "value": "192.0.2.7"}
    boards.patch({"status": {"addresses": [address]}}, "gateway", "public", "--subresource=status")
