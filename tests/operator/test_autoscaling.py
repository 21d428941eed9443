"""The HorizontalPodAutoscaler, and the condition AutoscalingActive from its status."""

from __future__ import annotations

from typing import Any

import pytest

from leaderboard_operator.resources.deployment import deployment
from leaderboard_operator.resources.scaling import SOCKETS, autoscaler
from leaderboard_operator.status import status
from tests.support.leaderboard_views import view
from tests.support.leaderboards import spec
from tests.support.status_cases import observed
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
def test_autoscaling_condition_reports_status_of_autoscaler(changes, live, expected):
    rows = status(observed(leaderboard=view(spec(**changes)), autoscaler=live), {})["conditions"]
    conditions = {row["type"]: (row["status"], row["reason"]) for row in rows}
    assert conditions.get("AutoscalingActive") == expected


def test_autoscaler_with_zero_replicas_is_absent():
    scaled_to_zero = view(spec(replicas=0, **SCALED))
    assert autoscaler(scaled_to_zero) is None
    assert scaled_to_zero.max_replicas is None
    assert autoscaler(view(spec(replicas=1, **SCALED))) is not None
    assert deployment(scaled_to_zero)["spec"]["replicas"] == 0


def cpu(**changes: Any) -> str:
    container = deployment(view(spec(**changes)))["spec"]["template"]["spec"]["containers"][0]
    return container["resources"]["requests"]["cpu"]


def test_cpu_request_with_autoscaling_defaults_to_500m():
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
def test_memory_limit_with_memory_request_has_no_default(resources, limits):
    built = deployment(view(spec(template={"spec": {"resources": resources}})))
    assert built["spec"]["template"]["spec"]["containers"][0]["resources"].get("limits") == limits


def test_autoscaler_with_sockets_scales_down_slowly_by_default():
    sockets = {"type": "Sockets", "averageValue": 4000}
    scaled = {"maxReplicas": 5, "metrics": [sockets]}
    behavior = autoscaler(view(spec(autoscaling=scaled)))["spec"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 600
    own = {"scaleDown": {"selectPolicy": "Disabled"}}
    assert autoscaler(view(spec(autoscaling={**scaled, "behavior": own})))["spec"]["behavior"] == own
    assert "behavior" not in autoscaler(view(spec(**SCALED)))["spec"]


def test_sockets_metric_exists_in_service():
    (metric,) = (family for family in Metrics().registry.collect() if family.name == SOCKETS)
    assert metric.type == "gauge"
