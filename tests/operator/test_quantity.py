"""Quantities of Kubernetes."""

from __future__ import annotations

import pytest

from leaderboard_operator.spec.pod import Resources
from leaderboard_operator.spec.quantity import number, numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (2, 2),
        ("1", 1),
        ("0.5", 0.5),
        (".5", 0.5),
        ("500m", 0.5),
        ("100u", 1e-4),
        ("7n", 7e-9),
        ("1k", 1e3),
        ("2M", 2e6),
        ("1e3", 1e3),
        ("12E-1", 1.2),
        ("1E", 1e18),
        ("1Ki", 1024),
        ("512Mi", 536_870_912),
        ("1.5Gi", 1_610_612_736),
        ("1Ei", 2**60),
    ],
)
def test_number_of_a_quantity_is_its_value(text, value):
    assert number(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["", "Mi", "1 Gi", "1mi", "1KI", "1kB", "--1", "1e", "one"])
def test_number_of_anything_else_raises(text):
    with pytest.raises(ValueError, match="not a quantity"):
        number(text)


def test_numbers_are_those_of_cpu_and_memory_that_kubernetes_accepts():
    asked = Resources(
        requests={"cpu": "250m", "memory": "1Gi", "nvidia.com/gpu": "1"}, limits={"memory": "2 Gi", "cpu": "1"}
    )
    assert numbers(asked) == {("cpu", "request"): 0.25, ("memory", "request"): 2**30, ("cpu", "limit"): 1.0}


def test_quantity_that_is_no_number_of_this_world_is_left_out():
    assert numbers(Resources(requests={"cpu": "1E999999999"}, limits={"cpu": "1"})) == {("cpu", "limit"): 1.0}
