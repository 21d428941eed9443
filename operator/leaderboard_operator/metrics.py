"""Every metric of the operator, declared once. Names are controller-runtime's where it has one for the thing."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector

from leaderboard_operator import VERSION

CONTROLLER = "leaderboard"


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
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
        self._conditions = Gauge(
            "leaderboard_operator_condition",
            "1 for the status that a condition of a Leaderboard has, 0 for the others.",
            ["namespace", "leaderboard", "condition", "status"],
            registry=registry,
        )
        self._version = self._of_each("info", "1, with the version that a Leaderboard serves.", "version")
        self._wanted = self._of_each("replicas_wanted", "Pods that a Leaderboard asks for.")
        self._serving = self._of_each("replicas_ready", "Pods of a Leaderboard that take requests.")
        self._most = self._of_each("replicas_max", "Pods that autoscaling may go up to; none where it is off.")
        Gauge("leaderboard_operator_build_info", "1, with the version.", ["version"], registry=registry).labels(
            VERSION
        ).set(1)
        ProcessCollector(registry=registry)
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

    def show(self, key: tuple[str, str], spec: dict[str, Any], status: dict[str, Any]) -> None:
        """A Leaderboard asks for this, and this is its status."""
        for each in status["conditions"]:
            for value in ("True", "False", "Unknown"):
                self._conditions.labels(*key, each["type"], value).set(each["status"] == value)
        self._forget(self._version, key)
        self._version.labels(*key, status.get("version", "")).set(1)
        self._wanted.labels(*key).set(spec["replicas"])
        self._serving.labels(*key).set(status.get("readyReplicas", 0))
        self._forget(self._most, key)
        if autoscaling := spec.get("autoscaling"):
            self._most.labels(*key).set(autoscaling["maxReplicas"])

    def forget(self, key: tuple[str, str]) -> None:
        """A Leaderboard is gone."""
        for metric in (self._conditions, self._version, self._wanted, self._serving, self._most):
            self._forget(metric, key)

    @staticmethod
    def _forget(metric: Gauge, key: tuple[str, str]) -> None:
        metric.remove_by_labels({"namespace": key[0], "leaderboard": key[1]})

    def _of_each(self, name: str, text: str, *labels: str) -> Gauge:
        """A gauge of each Leaderboard."""
        names = ["namespace", "leaderboard", *labels]
        return Gauge(f"leaderboard_operator_{name}", text, names, registry=self.registry)
