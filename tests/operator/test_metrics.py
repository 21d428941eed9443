"""The operator's metrics of a Leaderboard."""

from __future__ import annotations

import pytest

from leaderboard_operator.metrics import Metrics
from leaderboard_operator.monitoring import objective_targets
from leaderboard_operator.spec.operations import Slo
from leaderboard_operator.spec.pod import Resources
from leaderboard_operator.spec.quantity import numbers
from leaderboard_operator.status import scaling_active

KEY = ("games", "arcade")
RESOURCES = Resources(limits={"memory": "512Mi"})
LABELS = {"namespace": "games", "leaderboard": "arcade"}
STATUS = {"conditions": [{"type": "Ready", "status": "True"}], "version": "1.0", "readyReplicas": 1}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"leaderboard_operator_{name}", LABELS | labels)


def test_metrics_have_replicas_and_conditions():
    metrics = Metrics()
    metrics.set_replicas(KEY, desired=3, ready=1, max_replicas=10)
    metrics.set_status(KEY, STATUS)
    assert [value(metrics, "replicas", state=state) for state in ("desired", "ready")] == [3, 1]
    assert value(metrics, "max_replicas") == 10
    assert value(metrics, "condition", condition="Ready", status="True") == 1
    assert value(metrics, "condition", condition="Ready", status="False") == 0


def test_metrics_with_new_version_replace_old_series():
    metrics = Metrics()
    for version, max_replicas in (("1.0", 10), ("1.1", None)):
        metrics.set_replicas(KEY, desired=3, ready=1, max_replicas=max_replicas)
        metrics.set_status(KEY, STATUS | {"version": version})
    assert [value(metrics, "info", version=version) for version in ("1.0", "1.1")] == [None, 1]
    assert value(metrics, "max_replicas") is None


@pytest.mark.parametrize(
    ("min_replicas", "active", "value_of_active"), [(2, True, 1), (2, False, 0), (2, None, None), (None, None, None)]
)
def test_metrics_of_autoscaler_follow_its_status(min_replicas, active, value_of_active):
    metrics = Metrics()
    metrics.set_autoscaler(KEY, min_replicas=1, active=True)
    metrics.set_autoscaler(KEY, min_replicas=min_replicas, active=active)
    assert (value(metrics, "min_replicas"), value(metrics, "autoscaler_active")) == (min_replicas, value_of_active)


def test_metrics_of_spec_replace_old_series():
    metrics = Metrics()
    for slo in (Slo(), Slo(availability="99.95", latency="1s")):
        metrics.set_spec(KEY, objective_targets(slo), numbers(RESOURCES))
    assert value(metrics, "objective", slo="availability", threshold="") == pytest.approx(0.9995)
    ratios = [value(metrics, "objective", slo="latency", threshold=threshold) for threshold in ("0.25", "1.0")]
    assert ratios == [None, 0.99]
    assert value(metrics, "objective", slo="propagation", threshold="0.5") == 0.99
    assert [value(metrics, "objective_seconds", slo=slo) for slo in ("latency", "propagation", "availability")] == [
        1.0,
        0.5,
        None,
    ]
    assert value(metrics, "pod_resources", resource="memory", kind="limit") == 512 * 2**20
    metrics.set_spec(KEY, {}, {})
    assert value(metrics, "pod_resources", resource="memory", kind="limit") is None


@pytest.mark.parametrize(
    ("live", "active"),
    [
        (None, None),
        ({}, None),
        ({"status": {"conditions": [{"type": "AbleToScale", "status": "True"}]}}, None),
        ({"status": {"conditions": [{"type": "ScalingActive", "status": "True"}]}}, True),
        ({"status": {"conditions": [{"type": "ScalingActive", "status": "False"}]}}, False),
        ({"status": {"conditions": [{"type": "ScalingActive", "status": "Unknown"}]}}, False),
    ],
)
def test_scaling_active_follows_condition_of_autoscaler(live, active):
    assert scaling_active(live) is active


def test_metrics_forget_removes_all_series():
    metrics = Metrics()
    metrics.set_replicas(KEY, desired=3, ready=1, max_replicas=10)
    metrics.set_status(KEY, STATUS)
    metrics.set_autoscaler(KEY, min_replicas=2, active=True)
    metrics.set_spec(KEY, objective_targets(Slo()), numbers(RESOURCES))
    metrics.forget(KEY)
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    assert not [sample for sample in samples if sample.labels.get("leaderboard") == "arcade"]
