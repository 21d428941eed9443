"""Optional kinds: the Gateway API and the Prometheus operator's, on a cluster that has them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from leaderboard_operator.resources import KINDS
from leaderboard_operator.run import RESYNC_SECONDS
from tests.cluster.build import CRDS, GATEWAY, find
from tests.support.cluster import Cluster
from tests.support.kubernetes import need_programs
from tests.support.leaderboard_views import VIEWS
from tests.support.leaderboards import OPTIONAL_KINDS, TIMEOUT, Leaderboards, Object, leaderboard
from tests.support.wait import wait_until


@contextmanager
def optional_crds(cluster: Cluster) -> Iterator[Cluster]:
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
def cluster_with_crds(crd: Cluster) -> Iterator[Cluster]:
    with optional_crds(crd) as cluster:
        yield cluster


def test_kinds_installed_later_are_created_and_watched(crd, leaderboards, run_operator, install):
    """Must run before the tests with `cluster_with_crds`. The watch recreates objects long before the next resync."""
    operator = run_operator(install(watch=(leaderboards.namespace,)))
    leaderboards.apply(leaderboard(exposure={"gateway": {"parentRefs": [{"name": "public"}]}}))
    leaderboards.wait("False", "NoGatewayApi")
    with optional_crds(crd):
        mark = crd.audit_mark()
        wait_until(lambda: all(leaderboards.get(kind) for kind in OPTIONAL_KINDS), TIMEOUT, "objects of new kinds")
        leaderboards.wait()
        discoveries = [entry for entry in crd.audited(mark) if entry["requestURI"] == "/apis/monitoring.coreos.com/v1"]
        assert len(discoveries) < 10
        start = time.monotonic()
        leaderboards.delete("prometheusrule")
        wait_until(lambda: leaderboards.get("prometheusrule"), TIMEOUT, "the PrometheusRule")
        assert time.monotonic() - start < RESYNC_SECONDS
        assert operator.terminate() == 0


@pytest.mark.parametrize("name", VIEWS)
def test_api_server_accepts_built_objects(cluster_with_crds, namespace, name):
    """Checked by its schema and the restricted Pod Security Standard; warnings are failures."""
    for kind in KINDS:
        desired = kind.build(VIEWS[name])
        if desired is not None:
            desired["metadata"]["namespace"] = namespace
            flags = ("--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "--filename=-")
            done = cluster_with_crds.kubectl("apply", *flags, stdin=yaml.safe_dump(desired), check=False)
            assert done.returncode == 0, done.stderr


def accept_route(leaderboards: Leaderboards, parent: Object) -> None:
    """Write the status of a Gateway controller that accepts the route."""
    route = wait_until(lambda: leaderboards.get("httproute"), TIMEOUT, "the HTTPRoute")
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
    accepted = {"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions}
    leaderboards.patch({"status": {"parents": [accepted]}}, "httproute", "arcade", "--subresource=status")


def test_optional_objects_are_created_and_deleted_with_spec(cluster_with_crds, leaderboards, run_operator, install):
    run_operator(install(watch=(leaderboards.namespace,)))
    gateway = {"parentRefs": [{"name": "public"}], "hostnames": ["scores.example"]}
    leaderboards.apply(leaderboard(exposure={"gateway": gateway}, monitoring={"slo": {"availability": "99.5"}}))
    leaderboards.wait()
    assert leaderboards.get("servicemonitor")["spec"]["endpoints"][0]["port"] == "metrics"
    assert "> 14.4 * 0.005" in str(leaderboards.get("prometheusrule")["spec"])
    assert leaderboards.get("httproute")["spec"]["hostnames"] == ["scores.example"]
    leaderboards.wait("False", "NotAccepted", "Exposed")
    assert leaderboards.get("httproute")["spec"]["rules"][0]["timeouts"] == {"request": "0s"}
    accept_route(leaderboards, {"name": "public"})
    leaderboards.wait("True", "Accepted", "Exposed")
    assert leaderboards.get()["status"]["url"] == "https://scores.example"
    leaderboards.patch({"spec": {"monitoring": {"slo": {"availability": "99.95"}}}})
    wait_until(lambda: "> 14.4 * 0.0005" in str(leaderboards.get("prometheusrule")), TIMEOUT, "the new objective")
    for kind in ("servicemonitor", "prometheusrule"):
        leaderboards.delete(kind)
        wait_until(lambda kind=kind: leaderboards.get(kind), TIMEOUT, f"the {kind}")
    switched_off = {"serviceMonitor": "Disabled", "rules": "Disabled"}
    leaderboards.patch({"spec": {"exposure": {"gateway": None}, "monitoring": switched_off}})
    wait_until(lambda: not any(leaderboards.get(kind) for kind in OPTIONAL_KINDS), TIMEOUT, "no optional objects")


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
def test_url_with_gateway_is_that_of_listener(
    cluster_with_crds, leaderboards, run_operator, install, hostnames, section, url
):
    """With the rights of the chart in one namespace."""
    run_operator(install(watch=(leaderboards.namespace,)))
    parent = {"name": "public", **({"sectionName": section} if section else {})}
    make_gateway(leaderboards)
    leaderboards.apply(leaderboard(exposure={"gateway": {"parentRefs": [parent], "hostnames": hostnames}}))
    accept_route(leaderboards, parent)
    leaderboards.wait("True", "Accepted", "Exposed")
    assert leaderboards.get()["status"]["url"] == url


@pytest.mark.parametrize(
    ("everywhere", "url"), [(True, "https://scores.example:8443"), (False, "https://scores.example")]
)
def test_url_with_gateway_of_other_namespace_depends_on_rights(
    cluster_with_crds, leaderboards, tenant, run_operator, install, everywhere, url
):
    run_operator(install() if everywhere else install(watch=(leaderboards.namespace,)))
    parent = {"name": "public", "namespace": tenant.namespace}
    make_gateway(tenant)
    leaderboards.apply(leaderboard(exposure={"gateway": {"parentRefs": [parent], "hostnames": ["scores.example"]}}))
    accept_route(leaderboards, parent)
    leaderboards.wait("True", "Accepted", "Exposed")
    assert leaderboards.get()["status"]["url"] == url
    leaderboards.wait()


def make_gateway(leaderboards: Leaderboards) -> None:
    """Create a Gateway with an address."""
    leaderboards.apply(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "public"},
            "spec": {"gatewayClassName": "example", "listeners": LISTENERS},
        }
    )
    address = {"type": "IPAddress", "value": "192.0.2.7"}
    leaderboards.patch({"status": {"addresses": [address]}}, "gateway", "public", "--subresource=status")
