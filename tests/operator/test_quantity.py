"""Conversion of Kubernetes quantities to numbers."""

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
def test_number_of_quantity_is_its_value(text, value):
    assert number(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["", "Mi", "1 Gi", "1mi", "1KI", "1kB", "--1", "1e", "one"])
def test_number_of_invalid_quantity_raises(text):
    with pytest.raises(ValueError, match="not a quantity"):
        number(text)


def test_numbers_omit_other_resources_and_invalid_quantities():
    resources = Resources(
        requests={"cpu": "250m", "memory": "1Gi", "nvidia.com/gpu": "1"}, limits={"memory": "2 Gi", "cpu": "1"}
    )
    assert numbers(resources) == {("cpu", "request"): 0.25, ("memory", "request"): 2**30, ("cpu", "limit"): 1.0}


def test_numbers_omit_overflowing_quantity():
    assert numbers(Resources(requests={"cpu": "1E999999999"}, limits={"cpu": "1"})) == {("cpu", "limit"): 1.0}
