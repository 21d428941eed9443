"""What the operator tells of each Leaderboard, and that it is gone with it."""

from __future__ import annotations

from leaderboard_operator.metrics import Metrics

KEY = ("games", "arcade")
NAMED = {"namespace": "games", "leaderboard": "arcade"}
STATUS = {"conditions": [{"type": "Ready", "status": "True"}], "version": "1.0", "readyReplicas": 1}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"leaderboard_operator_{name}", NAMED | labels)


def test_what_a_leaderboard_asks_for_and_has():
    metrics = Metrics()
    metrics.show_replicas(KEY, desired=3, ready=1, most=10)
    metrics.show(KEY, STATUS)
    assert [value(metrics, "replicas", state=state) for state in ("desired", "ready")] == [3, 1]
    assert value(metrics, "max_replicas") == 10
    assert value(metrics, "condition", condition="Ready", status="True") == 1
    assert value(metrics, "condition", condition="Ready", status="False") == 0


def test_a_new_version_takes_the_old_one_s_place_and_so_does_no_autoscaling():
    metrics = Metrics()
    for version, most in (("1.0", 10), ("1.1", None)):
        metrics.show_replicas(KEY, desired=3, ready=1, most=most)
        metrics.show(KEY, STATUS | {"version": version})
    assert [value(metrics, "info", version=version) for version in ("1.0", "1.1")] == [None, 1]
    assert value(metrics, "max_replicas") is None


def test_nothing_is_left_of_a_leaderboard_that_is_gone():
    metrics = Metrics()
    metrics.show_replicas(KEY, desired=3, ready=1, most=10)
    metrics.show(KEY, STATUS)
    metrics.forget(KEY)
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    assert not [sample for sample in samples if sample.labels.get("leaderboard") == "arcade"]
