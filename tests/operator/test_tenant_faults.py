"""A namespace, a Secret or an object that fails concerns its tenant alone; each test has an operator of its own."""

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

from tests.operator.boards import PATIENCE, Boards, leaderboard
from tests.operator.middleman import Middleman
from tests.support.operator import Operator
from tests.support.wait import wait_until

log = logging.getLogger(__name__)


def metric(operator: Operator, line: str) -> str:
    """The value of a metric; empty where it is not there."""
    lines = (operator.get("/metrics") or "").splitlines()
    return next((each.rpartition(" ")[2] for each in lines if each.startswith(line)), "")


def test_watched_namespace_that_is_gone_stops_no_other(boards, tenant, install, run_operator):
    """The Role goes with the namespace, and lists in it are forbidden: also for an operator that starts afterwards."""
    installation = install(watch=(boards.namespace, tenant.namespace))
    first = run_operator(installation)
    tenant.apply(leaderboard())
    tenant.wait()
    reachable = f'leaderboard_operator_namespace_reachable{{namespace="{tenant.namespace}"}}'
    assert metric(first, reachable) == "1.0"
    tenant.cluster.kubectl("delete", "namespace", tenant.namespace, "--timeout=100s")
    first.terminate()
    second = run_operator(installation)
    boards.apply(leaderboard())
    boards.wait()
    wait_until(lambda: metric(second, reachable) == "0.0", PATIENCE, "the metric")
    assert second.get("/healthz") == "ok"
    age = float(metric(second, "leaderboard_operator_watch_age_seconds"))
    assert age < 60, "the watch of the other namespace counts as in step"


@pytest.fixture
def middleman(crd) -> Iterator[Middleman]:
    with Middleman(crd) as running:
        yield running


@pytest.fixture
def behind(middleman, install, boards, tenant, tmp_path) -> Iterator[Operator]:
    """An operator of both namespaces that reaches the API server by the middleman only."""
    installation = install(watch=(boards.namespace, tenant.namespace))
    operator = middleman.between(Operator(installation, tmp_path / "operator.log"))
    operator.start()
    yield operator
    operator.close()


def test_secret_that_is_forbidden_is_a_condition_of_its_leaderboard(middleman, behind, boards, tenant):
    mine = f"/namespaces/{tenant.namespace}/secrets/arcade-jwt"
    middleman.judge = lambda method, path: 403 if mine in path else None
    tenant.apply(leaderboard())
    assert "'arcade-jwt'" in tenant.wait("False", "SecretForbidden")["message"]
    boards.apply(leaderboard())
    boards.wait()
    middleman.judge = lambda method, path: None
    tenant.wait()


def test_error_that_persists_is_in_the_status_and_counted_and_stops_no_other(middleman, behind, boards, tenant):
    """A webhook that fails for one kind in one namespace: Ready of the old generation does not stay True."""
    tenant.apply(leaderboard())
    tenant.wait()
    services = f"/namespaces/{tenant.namespace}/services/"
    middleman.judge = lambda method, path: 500 if method == "PATCH" and services in path else None
    tenant.patch({"spec": {"exposure": {"service": {"annotations": {"a.example/b": "c"}}}}})
    assert "refused by the test" in tenant.wait("False", "ReconcileError")["message"]
    tenant.wait("True", "ReconcileError", "Degraded")
    errors = "controller_runtime_reconcile_errors_total"
    wait_until(lambda: float(metric(behind, errors)) >= 3, PATIENCE, "the third error")
    key = f'{{leaderboard="arcade",namespace="{tenant.namespace}"}}'
    observed = metric(behind, f"leaderboard_operator_observed_generation{key}")
    assert observed == metric(behind, f"leaderboard_operator_generation{key}") == "2.0"
    boards.apply(leaderboard())
    boards.wait()
    middleman.judge = lambda method, path: None
    tenant.wait()
    tenant.wait("False", type_="Degraded")


HELM_SECRETS, HELM_BYTES = 2000, 100 * 1024
LIMIT = 512 * 1024 * 1024
"""The default memory limit of the chart's operator."""


def helm_secrets(boards: Boards, count: int) -> None:
    """Secrets as Helm keeps releases in, by a few connections."""
    value = b64encode(b"x" * HELM_BYTES).decode()
    place = urlsplit(boards.cluster.url)
    folder = boards.cluster.folder

    def create(part: range) -> None:
        tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        connection = http.client.HTTPSConnection(str(place.hostname), place.port, timeout=60, context=tls)
        for number in part:
            name = f"sh.helm.release.v1.game.v{number}"
            body = {"metadata": {"name": name}, "type": "helm.sh/release.v1", "data": {"release": value}}
            headers = {"Content-Type": "application/json"}
            path = f"/api/v1/namespaces/{boards.namespace}/secrets"
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, [range(start, count, 4) for start in range(4)]))


def peak_memory(operator: Operator) -> int:
    """The largest resident memory of its process so far, in bytes."""
    assert operator.process is not None
    text = Path(f"/proc/{operator.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM"))) * 1024


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_secrets_of_helm_releases_leave_the_operator_within_its_limit(boards, run_operator):
    helm_secrets(boards, HELM_SECRETS)
    operator = run_operator()
    boards.apply(leaderboard())
    boards.wait()
    boards.delete("secret", "arcade-jwt")
    boards.wait("False", "SecretMissing")
    boards.secrets("arcade-jwt")
    boards.wait()
    peak = peak_memory(operator)
    log.info("peak of %d MiB", peak // 2**20)
    assert peak < LIMIT / 2
