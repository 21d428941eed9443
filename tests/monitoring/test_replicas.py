"""What the operator tells of a Leaderboard's pods, by which alerts know that they are too few or as many as may be."""

from __future__ import annotations

import pytest

from leaderboard_operator.metrics import Metrics

KEY = ("games", "arcade")


@pytest.fixture
def metrics():
    made = Metrics()
    made.show_replicas(KEY, 4, 3, 10)
    made.show_replicas(("games", "chess"), 1, 1, None)
    return made


def told(metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, dict(zip(("namespace", "leaderboard"), KEY, strict=True), **labels))


def replicas(metrics) -> tuple[float | None, ...]:
    pods = (told(metrics, "leaderboard_operator_replicas", state=state) for state in ("desired", "ready"))
    return (*pods, told(metrics, "leaderboard_operator_max_replicas"))


def test_it_tells_what_is_desired_what_is_ready_and_the_most_that_may_be(metrics):
    assert replicas(metrics) == (4, 3, 10)


def test_without_an_autoscaler_there_is_no_most(metrics):
    metrics.show_replicas(KEY, 4, 4, None)
    assert replicas(metrics) == (4, 4, None)


def test_a_leaderboard_that_is_gone_is_told_of_no_more(metrics):
    metrics.forget(KEY)
    assert replicas(metrics) == (None, None, None)
    assert (
        metrics.registry.get_sample_value(
            "leaderboard_operator_replicas", {"namespace": "games", "leaderboard": "chess", "state": "ready"}
        )
        == 1
    )
