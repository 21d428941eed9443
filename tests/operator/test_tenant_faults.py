"""Faults of one namespace do not affect other namespaces. Each test has its own operator."""

from __future__ import annotations

import http.client
import json
import logging
import ssl
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.api_server_proxy import ApiServerProxy
from tests.support.leaderboards import TIMEOUT, Leaderboards, leaderboard
from tests.support.operator import Operator
from tests.support.wait import wait_until

log = logging.getLogger(__name__)


def metric(operator: Operator, line: str) -> str:
    """The value of a metric; empty if it does not exist."""
    lines = (operator.get("/metrics") or "").splitlines()
    return next((sample.rpartition(" ")[2] for sample in lines if sample.startswith(line)), "")


def test_watched_namespace_deleted_does_not_affect_others(leaderboards, tenant, install, run_operator):
    """The Role is deleted with the namespace, so lists in it are forbidden, also for a new operator."""
    installation = install(watch=(leaderboards.namespace, tenant.namespace))
    first = run_operator(installation)
    tenant.apply(leaderboard())
    tenant.wait()
    reachable = f'leaderboard_operator_namespace_reachable{{namespace="{tenant.namespace}"}}'
    assert metric(first, reachable) == "1.0"
    tenant.cluster.kubectl("delete", "namespace", tenant.namespace, "--timeout=100s")
    first.terminate()
    second = run_operator(installation)
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    wait_until(lambda: metric(second, reachable) == "0.0", TIMEOUT, "the metric")
    assert second.get("/healthz") == "ok"
    age = float(metric(second, "leaderboard_operator_watch_age_seconds"))
    assert age < 60, "the watch of the other namespace is complete"


@pytest.fixture
def api_server_proxy(crd) -> Iterator[ApiServerProxy]:
    with ApiServerProxy(crd) as proxy:
        yield proxy


@pytest.fixture
def proxied_operator(api_server_proxy, install, leaderboards, tenant, tmp_path) -> Iterator[Operator]:
    """An operator of both namespaces that uses the proxy."""
    installation = install(watch=(leaderboards.namespace, tenant.namespace))
    operator = api_server_proxy.redirect(Operator(installation, tmp_path / "operator.log"))
    operator.start()
    yield operator
    operator.close()


def test_secret_forbidden_is_reported_by_its_leaderboard(api_server_proxy, proxied_operator, leaderboards, tenant):
    secret = f"/namespaces/{tenant.namespace}/secrets/arcade-jwt"
    api_server_proxy.refuse = lambda method, path: 403 if secret in path else None
    tenant.apply(leaderboard())
    assert "'arcade-jwt'" in tenant.wait("False", "SecretForbidden")["message"]
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    api_server_proxy.refuse = lambda method, path: None
    tenant.wait()


def test_persistent_error_is_reported_and_does_not_affect_others(
    api_server_proxy, proxied_operator, leaderboards, tenant
):
    """A failing webhook for one kind in one namespace: Ready of the old generation does not stay True."""
    tenant.apply(leaderboard())
    tenant.wait()
    services = f"/namespaces/{tenant.namespace}/services/"
    api_server_proxy.refuse = lambda method, path: 500 if method == "PATCH" and services in path else None
    tenant.patch({"spec": {"exposure": {"service": {"annotations": {"a.example/b": "c"}}}}})
    assert "refused by the test" in tenant.wait("False", "ReconcileError")["message"]
    tenant.wait("True", "ReconcileError", "Degraded")
    errors = "controller_runtime_reconcile_errors_total"
    wait_until(lambda: float(metric(proxied_operator, errors)) >= 3, TIMEOUT, "the third error")
    key = f'{{leaderboard="arcade",namespace="{tenant.namespace}"}}'
    observed = metric(proxied_operator, f"leaderboard_operator_observed_generation{key}")
    assert observed == metric(proxied_operator, f"leaderboard_operator_generation{key}") == "2.0"
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    api_server_proxy.refuse = lambda method, path: None
    tenant.wait()
    tenant.wait("False", type_="Degraded")


HELM_SECRETS, HELM_BYTES = 2000, 100 * 1024
MEMORY_LIMIT = 512 * 1024 * 1024
"""The default memory limit of the chart's operator."""


def helm_secrets(leaderboards: Leaderboards, count: int) -> None:
    """Create Secrets of Helm releases over a few connections."""
    value = b64encode(b"x" * HELM_BYTES).decode()
    url = urlsplit(leaderboards.cluster.url)
    folder = leaderboards.cluster.folder

    def create(part: range) -> None:
        tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        connection = http.client.HTTPSConnection(str(url.hostname), url.port, timeout=60, context=tls)
        for number in part:
            name = f"sh.helm.release.v1.game.v{number}"
            body = {"metadata": {"name": name}, "type": "helm.sh/release.v1", "data": {"release": value}}
            headers = {"Content-Type": "application/json"}
            path = f"/api/v1/namespaces/{leaderboards.namespace}/secrets"
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            response.read()
            assert response.status == 201
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, [range(start, count, 4) for start in range(4)]))


def peak_memory(operator: Operator) -> int:
    """The maximum resident memory of its process in bytes."""
    assert operator.process is not None
    text = Path(f"/proc/{operator.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM"))) * 1024


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_with_many_helm_secrets_stays_below_limit(leaderboards, run_operator):
    helm_secrets(leaderboards, HELM_SECRETS)
    operator = run_operator()
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    leaderboards.delete("secret", "arcade-jwt")
    leaderboards.wait("False", "SecretMissing")
    leaderboards.create_secrets("arcade-jwt")
    leaderboards.wait()
    peak = peak_memory(operator)
    log.info("peak of %d MiB", peak // 2**20)
    assert peak < MEMORY_LIMIT / 2
