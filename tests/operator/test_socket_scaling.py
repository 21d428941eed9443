"""Autoscaling by sockets, with the autoscaler of Kubernetes and a metrics API with the rules of docs/operator.md."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from leaderboard_operator.resources.scaling import SOCKETS
from tests.support.cluster import Cluster
from tests.support.leaderboards import TIMEOUT, Leaderboards, Object, leaderboard
from tests.support.metrics_api import MetricsApi, serving
from tests.support.operator import Operator
from tests.support.operator_page import code_blocks
from tests.support.prometheus import HOST, Prometheus
from tests.support.wait import wait_until

PODS = "leaderboard.dev/name={}"
SCALE_DOWN_AT_ONCE = {"scaleDown": {"stabilizationWindowSeconds": 0}}


def documents() -> list[Object]:
    """The YAML documents of the page."""
    return [document for text in code_blocks("yaml") for document in yaml.safe_load_all(text)]


def documented_rules() -> Object:
    """The rules of the Prometheus adapter in the page, by kind."""
    groups = [document["rules"] for document in documents() if "rules" in document]
    return {kind: rules for group in groups for kind, rules in group.items()}


def keda_query(namespace: str) -> str:
    """The query of the ScaledObject in the page."""
    (scaled_object,) = (document for document in documents() if document.get("kind") == "ScaledObject")
    (trigger,) = scaled_object["spec"]["triggers"]
    return trigger["metadata"]["query"].replace('"games"', f'"{namespace}"')


class Sockets:
    """Serves the number of sockets of each Leaderboard, evenly on its pods, as the ServiceMonitor labels it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.open: dict[str, int] = {}
        self._leaderboards = Leaderboards(cluster, namespace)
        self._lock = threading.Lock()

    def page(self, _: str) -> str:
        """The metrics of all pods, for two frontends each."""
        lines = []
        for name, total in self.open.items():
            with self._lock:
                pods = self._leaderboards.list("pod", PODS.format(name))
            for pod in pods:
                labels = (
                    f'namespace="{self._leaderboards.namespace}",leaderboard="{name}",pod="{pod["metadata"]["name"]}"'
                )
                lines += [f'{SOCKETS}{{{labels},frontend="{frontend}"}} {total / len(pods) / 2}' for frontend in "AE"]
        return "".join(f"{line}\n" for line in lines)

    def close(self) -> None:
        self._leaderboards.reader.close()


@pytest.fixture
def sockets(crd: Cluster, namespace: str) -> Iterator[Sockets]:
    with closing(Sockets(crd, namespace)) as sockets:
        yield sockets


@pytest.fixture
def prometheus(sockets: Sockets, tmp_path: Path) -> Iterator[Prometheus]:
    with serving(sockets.page) as port:
        scrape = {
            "job_name": "leaderboards",
            "honor_labels": True,
            "static_configs": [{"targets": [f"{HOST}:{port}"]}],
        }
        with Prometheus(tmp_path, [scrape]) as running:
            yield running


@pytest.fixture
def metrics_api(leaderboards: Leaderboards, prometheus: Prometheus) -> Iterator[MetricsApi]:
    with MetricsApi(leaderboards.cluster, leaderboards.namespace, documented_rules(), prometheus) as api:
        yield api


@pytest.mark.parametrize(
    ("api", "value", "path"),
    [
        ({}, 4000, "custom.metrics.k8s.io/v1beta2/namespaces/{}/pods/"),
        ({"api": "External"}, "4k", "external.metrics.k8s.io/v1beta1/namespaces/{}/" + SOCKETS),
    ],
    ids=["custom", "external"],
)
def test_autoscaler_with_sockets_scales_up_and_down(
    leaderboards: Leaderboards,
    shared_operator: Operator,
    sockets: Sockets,
    prometheus: Prometheus,
    metrics_api: MetricsApi,
    api: Object,
    value: int | str,
    path: str,
):
    """The sockets of another Leaderboard are not counted."""
    metrics = [{"type": "Sockets", "averageValue": value, **api}]
    sockets.open = {"arcade": 8000, "chess": 90_000}
    scaled = {"minReplicas": 2, "maxReplicas": 6, "metrics": metrics, "behavior": SCALE_DOWN_AT_ONCE}
    leaderboards.apply(leaderboard(autoscaling=scaled), another("chess"))
    leaderboards.wait("True", "ValidMetricFound", "AutoscalingActive")
    wait_for_pods(leaderboards, 2)

    sockets.open["arcade"] = 19_000
    wait_for_pods(leaderboards, 5)

    sockets.open["arcade"] = 11_000
    wait_until(lambda: sockets_per_pod(leaderboards) == 11_000 // 3, TIMEOUT, "it has the sockets of three pods")
    wait_for_pods(leaderboards, 3)
    leaderboards.wait("True", "ValidMetricFound", "AutoscalingActive")
    assert any(path.format(leaderboards.namespace) in request for request in metrics_api.requests)
    assert float(prometheus.query(keda_query(leaderboards.namespace))[0]["value"][1]) == pytest.approx(11_000)

    sockets.open.clear()
    assert leaderboards.wait("False", type_="AutoscalingActive")["reason"].startswith("FailedGet")
    assert leaderboards.get()["spec"]["replicas"] == 3, "without the metric the number stays"


def another(name: str) -> Object:
    """A Leaderboard with its own database and without an autoscaler."""
    mongo = {"name": "arcade-mongo", "key": "uri"}
    return leaderboard(name, database={"connectionSecretRef": mongo, "name": name}, replicas=3)


def sockets_per_pod(leaderboards: Leaderboards) -> int | None:
    """What the autoscaler used last. After a scaling, it has the sockets of some of the former pods at first."""
    for metric in leaderboards.get("horizontalpodautoscaler")["status"].get("currentMetrics") or ():
        value = metric.get(metric["type"].lower(), {}).get("current", {}).get("averageValue", "")
        if value:
            return int(value[:-1]) // 1000 if value.endswith("m") else int(value)
    return None


def wait_for_pods(leaderboards: Leaderboards, pods: int) -> None:
    wait_until(lambda: leaderboards.get()["spec"]["replicas"] == pods, TIMEOUT, f"the scale is {pods}")
    wait_until(lambda: leaderboards.get()["status"].get("readyReplicas") == pods, TIMEOUT, f"{pods} pods are ready")
    wait_until(lambda: len(leaderboards.list("pod", PODS.format("arcade"))) == pods, TIMEOUT, f"there are {pods} pods")
