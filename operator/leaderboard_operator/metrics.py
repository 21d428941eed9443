"""Every metric of the operator, declared once. Names are controller-runtime's where it has one for the thing."""

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
        self._each: list[Gauge] = []
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "rest_client_requests",
            "Requests to the API server, by method and answer.",
            ["method", "code"],
            registry=registry,
        )
        self._reconciles = Counter(
            "controller_runtime_reconcile",
            "Reconciles, by how they ended: success, requeue, requeue_after or error.",
            ["controller", "result"],
            registry=registry,
        )
        self._errors = Counter(
            "controller_runtime_reconcile_errors",
            "Reconciles that an error ended.",
            ["controller"],
            registry=registry,
        )
        self.seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "How long reconciles take.",
            ["controller"],
            registry=registry,
        ).labels(CONTROLLER)
        self.depth = Gauge("workqueue_depth", "Leaderboards that wait.", ["name"], registry=registry).labels(CONTROLLER)
        self.adds = Counter("workqueue_adds", "Wishes to reconcile.", ["name"], registry=registry).labels(CONTROLLER)
        self.leading = Gauge(
            "leader_election_master_status", "1 where this operator holds the lease.", ["name"], registry=registry
        ).labels(CONTROLLER)
        self.watch_age = Gauge(
            "leaderboard_operator_watch_age_seconds",
            "Time since the watch of Leaderboards was last seen to be in step with a list of them.",
            registry=registry,
        )
        self._conditions = self._of_each(
            "condition",
            "1 for the status that a condition of a Leaderboard has, 0 for the others.",
            "condition",
            "status",
        )
        self._replicas = self._of_each(
            "replicas", "Pods of a Leaderboard: desired, or ready to take requests.", "state"
        )
        self._max_replicas = self._of_each(
            "max_replicas", "Most pods that the autoscaler of a Leaderboard may ask for; of those that have one."
        )
        self._min_replicas = self._of_each(
            "min_replicas", "Minimum number of pods that the autoscaler of a Leaderboard keeps; of those that have one."
        )
        self._autoscaler_active = self._of_each(
            "autoscaler_active",
            "1 where the HorizontalPodAutoscaler of a Leaderboard can compute a number of pods, 0 where it cannot.",
        )
        self._objectives = self._of_each(
            "objective",
            "Share of events that an objective of a Leaderboard promises. threshold: seconds within which an event "
            "counts as kept, empty for availability.",
            "slo",
            "threshold",
        )
        self._thresholds = self._of_each(
            "objective_seconds", "Seconds within which an event counts as kept, of objectives that have such.", "slo"
        )
        self._resources = self._of_each(
            "pod_resources", "What a pod of a Leaderboard requests or may use, in cores or bytes.", "resource", "kind"
        )
        self._generation = self._of_each("generation", "Generation of the spec of a Leaderboard.")
        self._observed_generation = self._of_each(
            "observed_generation", "Generation that the status of a Leaderboard is about."
        )
        self._reachable = Gauge(
            "leaderboard_operator_namespace_reachable",
            "1 where the Leaderboards of a watched namespace can be listed, 0 where it is gone or the operator has no "
            "rights in it. Absent where all namespaces are watched.",
            ["namespace"],
            registry=registry,
        )
        self._version = self._of_each("info", "1, with the version that a Leaderboard serves.", "version")
        Gauge("leaderboard_operator_build_info", "1, with the version.", ["version"], registry=registry).labels(
            VERSION
        ).set(1)
        GCCollector(registry=registry)
        for result in ("success", "requeue", "requeue_after", "error"):
            self._reconciles.labels(CONTROLLER, result)
        self._errors.labels(CONTROLLER)

    def request(self, method: str, code: str) -> None:
        """A request to the API server was answered, or (`<error>`) was not."""
        self._requests.labels(method, code).inc()

    def reconciled(self, result: str) -> None:
        """A reconcile ended."""
        self._reconciles.labels(CONTROLLER, result).inc()
        if result == "error":
            self._errors.labels(CONTROLLER).inc()

    def show(self, key: tuple[str, str], status: dict[str, Any]) -> None:
        """This is the status of a Leaderboard."""
        for each in status["conditions"]:
            for value in ("True", "False", "Unknown"):
                self._conditions.labels(*key, each["type"], value).set(each["status"] == value)
        self._forget(self._version, key)
        self._version.labels(*key, status.get("version", "")).set(1)

    def show_generation(self, key: tuple[str, str], generation: int, observed: int) -> None:
        """The generations of a Leaderboard's spec and status."""
        self._generation.labels(*key).set(generation)
        self._observed_generation.labels(*key).set(observed)

    def show_namespace(self, namespace: str, *, reachable: bool) -> None:
        """Whether a namespace that is watched by name can be listed."""
        self._reachable.labels(namespace).set(reachable)

    def show_replicas(self, key: tuple[str, str], desired: int, ready: int, most: int | None) -> None:
        """A Leaderboard has so many pods. `most`: what its autoscaler may ask for, None where it has no choice."""
        self._replicas.labels(*key, "desired").set(desired)
        self._replicas.labels(*key, "ready").set(ready)
        if most is None:
            self._forget(self._max_replicas, key)
        else:
            self._max_replicas.labels(*key).set(most)

    def show_autoscaler(self, key: tuple[str, str], *, least: int | None, active: bool | None) -> None:
        """The autoscaler of a Leaderboard; None: there is none, or its controller has not reported yet."""
        for metric, value in ((self._min_replicas, least), (self._autoscaler_active, active)):
            if value is None:
                self._forget(metric, key)
            else:
                metric.labels(*key).set(value)

    def show_spec(
        self,
        key: tuple[str, str],
        objectives: Mapping[tuple[str, str], float],
        resources: Mapping[tuple[str, str], float],
    ) -> None:
        """What a spec promises, by objective and threshold, and gives each pod, by resource and kind."""
        thresholds = {(slo,): float(threshold) for slo, threshold in objectives if threshold}
        self._replace(self._objectives, key, objectives)
        self._replace(self._thresholds, key, thresholds)
        self._replace(self._resources, key, resources)

    def forget(self, key: tuple[str, str]) -> None:
        """A Leaderboard is gone."""
        for each in self._each:
            self._forget(each, key)

    def _of_each(self, name: str, text: str, *labels: str) -> Gauge:
        """A gauge of each Leaderboard, whose series `forget` removes."""
        names = ["namespace", "leaderboard", *labels]
        found = Gauge(f"leaderboard_operator_{name}", text, names, registry=self.registry)
        self._each.append(found)
        return found

    def _replace(self, metric: Gauge, key: tuple[str, str], values: Mapping[Any, float]) -> None:
        """Show these series of a Leaderboard, by their labels, and no others."""
        self._forget(metric, key)
        for labels, value in values.items():
            metric.labels(*key, *labels).set(value)

    @staticmethod
    def _forget(metric: Gauge, key: tuple[str, str]) -> None:
        metric.remove_by_labels({"namespace": key[0], "leaderboard": key[1]})
