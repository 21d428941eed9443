"""All metrics of the operator. Names are those of controller-runtime if it has the same metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector

from leaderboard_operator import VERSION

CONTROLLER = "leaderboard"


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._by_leaderboard: list[Gauge] = []
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "rest_client_requests",
            "Requests to the API server by method and status code.",
            ["method", "code"],
            registry=registry,
        )
        self._reconciles = Counter(
            "controller_runtime_reconcile",
            "Reconciles by result: success, requeue, requeue_after or error.",
            ["controller", "result"],
            registry=registry,
        )
        self._errors = Counter(
            "controller_runtime_reconcile_errors",
            "Reconciles that ended with an error.",
            ["controller"],
            registry=registry,
        )
        self.seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Duration of reconciles.",
            ["controller"],
            registry=registry,
        ).labels(CONTROLLER)
        self.depth = Gauge(
            "workqueue_depth", "Leaderboards that wait for a reconcile.", ["name"], registry=registry
        ).labels(CONTROLLER)
        self.adds = Counter(
            "workqueue_adds", "Reconcile requests added to the queue.", ["name"], registry=registry
        ).labels(CONTROLLER)
        self.leading = Gauge(
            "leader_election_master_status", "1 if this operator holds the lease.", ["name"], registry=registry
        ).labels(CONTROLLER)
        self.watch_age = Gauge(
            "leaderboard_operator_watch_age_seconds",
            "Time since the watch of Leaderboards last had all versions of a list of them.",
            registry=registry,
        )
        self._conditions = self._gauge(
            "condition",
            "1 for the current status of a condition of a Leaderboard, 0 for the others.",
            "condition",
            "status",
        )
        self._replicas = self._gauge("replicas", "Pods of a Leaderboard: desired or ready.", "state")
        self._max_replicas = self._gauge(
            "max_replicas", "Maximum number of pods of the autoscaler of a Leaderboard. Absent without an autoscaler."
        )
        self._min_replicas = self._gauge(
            "min_replicas", "Minimum number of pods of the autoscaler of a Leaderboard. Absent without an autoscaler."
        )
        self._autoscaler_active = self._gauge(
            "autoscaler_active",
            "1 if the HorizontalPodAutoscaler of a Leaderboard can compute a number of pods, 0 if it cannot.",
        )
        self._objectives = self._gauge(
            "objective",
            "Target ratio of good events of an objective of a Leaderboard. threshold: maximum duration of a good event "
            "in seconds, empty for availability.",
            "slo",
            "threshold",
        )
        self._thresholds = self._gauge(
            "objective_seconds", "Maximum duration of a good event, for objectives with a threshold.", "slo"
        )
        self._resources = self._gauge(
            "pod_resources", "Requests and limits of a pod of a Leaderboard, in cores or bytes.", "resource", "kind"
        )
        self._generation = self._gauge("generation", "Generation of the spec of a Leaderboard.")
        self._observed_generation = self._gauge(
            "observed_generation", "Generation that the status of a Leaderboard refers to."
        )
        self._reachable = Gauge(
            "leaderboard_operator_namespace_reachable",
            "1 if the operator can list the Leaderboards of a watched namespace, 0 if the namespace does not exist or "
            "the operator has no rights in it. Absent if all namespaces are watched.",
            ["namespace"],
            registry=registry,
        )
        self._version = self._gauge("info", "1, with the version of a Leaderboard.", "version")
        Gauge("leaderboard_operator_build_info", "1, with the version.", ["version"], registry=registry).labels(
            VERSION
        ).set(1)
        GCCollector(registry=registry)
        for result in ("success", "requeue", "requeue_after", "error"):
            self._reconciles.labels(CONTROLLER, result)
        self._errors.labels(CONTROLLER)

    def count_request(self, method: str, code: str) -> None:
        """Count a request to the API server. `code` is `<error>` if there was no response."""
        self._requests.labels(method, code).inc()

    def count_reconcile(self, result: str) -> None:
        self._reconciles.labels(CONTROLLER, result).inc()
        if result == "error":
            self._errors.labels(CONTROLLER).inc()

    def set_status(self, key: tuple[str, str], status: dict[str, Any]) -> None:
        for condition in status["conditions"]:
            for value in ("True", "False", "Unknown"):
                self._conditions.labels(*key, condition["type"], value).set(condition["status"] == value)
        self._remove(self._version, key)
        self._version.labels(*key, status.get("version", "")).set(1)

    def set_generation(self, key: tuple[str, str], generation: int, observed: int) -> None:
        self._generation.labels(*key).set(generation)
        self._observed_generation.labels(*key).set(observed)

    def set_namespace(self, namespace: str, *, reachable: bool) -> None:
        """Whether the operator can list a namespace of `--namespace`."""
        self._reachable.labels(namespace).set(reachable)

    def set_replicas(self, key: tuple[str, str], desired: int, ready: int, max_replicas: int | None) -> None:
        """`max_replicas` is None if no autoscaler decides on the number of pods."""
        self._replicas.labels(*key, "desired").set(desired)
        self._replicas.labels(*key, "ready").set(ready)
        if max_replicas is None:
            self._remove(self._max_replicas, key)
        else:
            self._max_replicas.labels(*key).set(max_replicas)

    def set_autoscaler(self, key: tuple[str, str], *, min_replicas: int | None, active: bool | None) -> None:
        """None: there is no autoscaler, or its controller has not reported yet."""
        for metric, value in ((self._min_replicas, min_replicas), (self._autoscaler_active, active)):
            if value is None:
                self._remove(metric, key)
            else:
                metric.labels(*key).set(value)

    def set_spec(
        self,
        key: tuple[str, str],
        objectives: Mapping[tuple[str, str], float],
        resources: Mapping[tuple[str, str], float],
    ) -> None:
        """Targets by objective and threshold, and resources of a pod by resource and kind."""
        thresholds = {(slo,): float(threshold) for slo, threshold in objectives if threshold}
        self._replace(self._objectives, key, objectives)
        self._replace(self._thresholds, key, thresholds)
        self._replace(self._resources, key, resources)

    def forget(self, key: tuple[str, str]) -> None:
        """Remove all series of a deleted Leaderboard."""
        for metric in self._by_leaderboard:
            self._remove(metric, key)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """A gauge with the labels of a Leaderboard, whose series `forget` removes."""
        names = ["namespace", "leaderboard", *labels]
        gauge = Gauge(f"leaderboard_operator_{name}", text, names, registry=self.registry)
        self._by_leaderboard.append(gauge)
        return gauge

    def _replace(self, metric: Gauge, key: tuple[str, str], values: Mapping[Any, float]) -> None:
        """Replace all series of a Leaderboard."""
        self._remove(metric, key)
        for labels, value in values.items():
            metric.labels(*key, *labels).set(value)

    @staticmethod
    def _remove(metric: Gauge, key: tuple[str, str]) -> None:
        metric.remove_by_labels({"namespace": key[0], "leaderboard": key[1]})
