"""The condition AutoscalingActive, from the HorizontalPodAutoscaler's own status."""

from __future__ import annotations

from typing import Any

import pytest

from leaderboard_operator.resources.deployment import deployment
from leaderboard_operator.resources.scaling import SOCKETS, autoscaler
from leaderboard_operator.status import status
from tests.operator.boards import spec
from tests.operator.samples import board
from tests.operator.test_status import seen
from tornado_app.observability.metrics import Metrics

SCALED = {"autoscaling": {"minReplicas": 3, "maxReplicas": 5}}


def reporting(value: str, reason: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": "ScalingActive", "status": value, "reason": reason, "message": "m"}]}}


@pytest.mark.parametrize(
    ("changes", "live", "expected"),
    [
        ({}, None, None),
        (SCALED, None, ("Unknown", "NotReported")),
        (SCALED, {"status": {}}, ("Unknown", "NotReported")),
        (SCALED, reporting("True", "ValidMetricFound"), ("True", "ValidMetricFound")),
        (SCALED, reporting("False", "FailedGetResourceMetric"), ("False", "FailedGetResourceMetric")),
        ({**SCALED, "replicas": 0}, reporting("False", "ScalingDisabled"), ("False", "ScaledToZero")),
    ],
)
def test_condition_is_what_the_autoscaler_reports(changes, live, expected):
    found = status(seen(leaderboard=board(spec(**changes)), autoscaler=live), {})["conditions"]
    conditions = {each["type"]: (each["status"], each["reason"]) for each in found}
    assert conditions.get("AutoscalingActive") == expected


def test_scaled_to_zero_is_no_pods_and_no_autoscaler():
    asleep = board(spec(replicas=0, **SCALED))
    assert autoscaler(asleep) is None
    assert deployment(asleep)["spec"]["replicas"] == 0


def cpu(**changes: Any) -> str:
    container = deployment(board(spec(**changes)))["spec"]["template"]["spec"]["containers"][0]
    return container["resources"]["requests"]["cpu"]


def test_cpu_request_is_large_enough_for_a_target_in_percent():
    assert cpu() == "100m"
    assert cpu(**SCALED) == "500m"
    assert cpu(**SCALED, template={"spec": {"resources": {"requests": {"cpu": "2"}}}}) == "2"


@pytest.mark.parametrize(
    ("resources", "limits"),
    [
        ({}, {"memory": "512Mi"}),
        ({"requests": {"memory": "1Gi"}}, {}),
        ({"limits": {"cpu": 2}}, {"memory": "512Mi", "cpu": 2}),
    ],
)
def test_limit_of_memory_is_never_less_than_a_request(resources, limits):
    built = deployment(board(spec(template={"spec": {"resources": resources}})))
    assert built["spec"]["template"]["spec"]["containers"][0]["resources"].get("limits") == limits


def test_sockets_scale_down_with_care_unless_asked_otherwise():
    sockets = {"type": "Sockets", "averageValue": 4000}
    scaled = {"maxReplicas": 5, "metrics": [sockets]}
    careful = autoscaler(board(spec(autoscaling=scaled)))["spec"]["behavior"]
    assert careful["scaleDown"]["stabilizationWindowSeconds"] == 600
    own = {"scaleDown": {"selectPolicy": "Disabled"}}
    assert autoscaler(board(spec(autoscaling={**scaled, "behavior": own})))["spec"]["behavior"] == own
    assert "behavior" not in autoscaler(board(spec(**SCALED)))["spec"]


def test_metric_of_sockets_is_one_of_the_service():
    (found,) = (each for each in Metrics().registry.collect() if each.name == SOCKETS)
    assert found.type == "gauge"
