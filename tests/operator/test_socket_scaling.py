"""Autoscaling on sockets: the real autoscaler, and a metrics API that works by the rules of docs/operator.md."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from leaderboard_operator.resources.scaling import SOCKETS
from tests.operator.boards import PATIENCE, Boards, Object, leaderboard
from tests.operator.test_docs import blocks
from tests.support.cluster import Cluster
from tests.support.metrics_api import MetricsApi, serving
from tests.support.operator import Operator
from tests.support.prometheus import HOST, Prometheus
from tests.support.wait import wait_until

PODS = "leaderboard.dev/name={}"
AT_ONCE = {"scaleDown": {"stabilizationWindowSeconds": 0}}


def documented_rules() -> Object:
    """The rules of the Prometheus adapter that the page has, by kind."""
    found = [each["rules"] for text in blocks("yaml") for each in yaml.safe_load_all(text) if "rules" in each]
    return {kind: rules for each in found for kind, rules in each.items()}


def keda_query(namespace: str) -> str:
    """What the page's ScaledObject asks Prometheus."""
    found = [each for text in blocks("yaml") for each in yaml.safe_load_all(text) if each.get("kind") == "ScaledObject"]
    (trigger,) = found[0]["spec"]["triggers"]
    return trigger["metadata"]["query"].replace('"games"', f'"{namespace}"')


class Sockets:
    """How many sockets a Leaderboard has, evenly on its pods, as Prometheus scrapes it by the ServiceMonitor."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.open: dict[str, int] = {}
        self._boards = Boards(cluster, namespace)
        self._one_at_a_time = threading.Lock()

    def page(self, _: str) -> str:
        """The metrics of all pods, in two frontends each."""
        lines = []
        for name, total in self.open.items():
            with self._one_at_a_time:
                pods = self._boards.list("pod", PODS.format(name))
            for pod in pods:
                labels = f'namespace="{self._boards.namespace}",leaderboard="{name}",pod="{pod["metadata"]["name"]}"'
                lines += [f'{SOCKETS}{{{labels},frontend="{frontend}"}} {total / len(pods) / 2}' for frontend in "AE"]
        return "".join(f"{each}\n" for each in lines)

    def close(self) -> None:
        self._boards.reader.close()


@pytest.fixture
def sockets(crd: Cluster, namespace: str) -> Iterator[Sockets]:
    with closing(Sockets(crd, namespace)) as found:
        yield found


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
def metrics_api(boards: Boards, prometheus: Prometheus) -> Iterator[MetricsApi]:
    with MetricsApi(boards.cluster, boards.namespace, documented_rules(), prometheus) as api:
        yield api


@pytest.mark.parametrize(
    ("api", "value", "asked"),
    [
        ({}, 4000, "custom.metrics.k8s.io/v1beta2/namespaces/{}/pods/"),
        ({"api": "External"}, "4k", "external.metrics.k8s.io/v1beta1/namespaces/{}/" + SOCKETS),
    ],
    ids=["custom", "external"],
)
def test_sockets_scale_a_leaderboard_up_and_down(
    boards: Boards,
    shared_operator: Operator,
    sockets: Sockets,
    prometheus: Prometheus,
    metrics_api: MetricsApi,
    api: Object,
    value: int | str,
    asked: str,
):
    """Another Leaderboard beside it has sockets too, which are not counted."""
    metrics = [{"type": "Sockets", "averageValue": value, **api}]
    sockets.open = {"arcade": 8000, "chess": 90_000}
    scaled = {"minReplicas": 2, "maxReplicas": 6, "metrics": metrics, "behavior": AT_ONCE}
    boards.apply(leaderboard(autoscaling=scaled), another("chess"))
    boards.wait("True", "ValidMetricFound", "AutoscalingActive")
    wait_for_pods(boards, 2)

    sockets.open["arcade"] = 19_000
    wait_for_pods(boards, 5)

    sockets.open["arcade"] = 11_000
    wait_for_pods(boards, 3)
    boards.wait("True", "ValidMetricFound", "AutoscalingActive")
    assert any(asked.format(boards.namespace) in each for each in metrics_api.requests)
    assert float(prometheus.query(keda_query(boards.namespace))[0]["value"][1]) == pytest.approx(11_000)

    sockets.open.clear()
    assert boards.wait("False", type_="AutoscalingActive")["reason"].startswith("FailedGet")
    assert boards.get()["spec"]["replicas"] == 3, "without the metric all stays as it is"


def another(name: str) -> Object:
    """A Leaderboard with a database of its own, that is not scaled."""
    mongo = {"name": "arcade-mongo", "key": "uri"}
    return leaderboard(name, database={"connectionSecretRef": mongo, "name": name}, replicas=3)


def wait_for_pods(boards: Boards, pods: int) -> None:
    wait_until(lambda: boards.get()["spec"]["replicas"] == pods, PATIENCE, f"the scale is {pods}")
    wait_until(lambda: boards.get()["status"].get("readyReplicas") == pods, PATIENCE, f"{pods} pods are ready")
    wait_until(lambda: len(boards.list("pod", PODS.format("arcade"))) == pods, PATIENCE, f"there are {pods} pods")
