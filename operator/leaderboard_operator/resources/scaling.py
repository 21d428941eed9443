"""How many pods run: HorizontalPodAutoscaler and PodDisruptionBudget."""

from leaderboard_operator import API_VERSION, GROUP, KIND, Object
from leaderboard_operator.resources.view import LeaderboardView
from leaderboard_operator.spec.operations import ScalingMetric

SOCKETS = "leaderboard_websocket_connections"

SLOW_SCALE_DOWN = {
    "scaleDown": {"stabilizationWindowSeconds": 600, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}]}
}
"""Default behavior with sockets: a removed pod closes its sockets, and low load may be short."""


def autoscaler(leaderboard: LeaderboardView) -> Object | None:
    """The HorizontalPodAutoscaler, on the Leaderboard's scale subresource as `kubectl scale lb`; None at 0 replicas."""
    spec = leaderboard.spec.autoscaling
    if spec is None or leaderboard.replicas == 0:
        return None
    metrics = spec.metrics or [ScalingMetric(type="CPU", average_utilization=spec.target_cpu_utilization)]
    behavior = spec.behavior or (SLOW_SCALE_DOWN if any(metric.type == "Sockets" for metric in metrics) else {})
    return leaderboard.object(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        spec={
            "scaleTargetRef": {"apiVersion": f"{GROUP}/{API_VERSION}", "kind": KIND, "name": leaderboard.name},
            "minReplicas": spec.min_replicas,
            "maxReplicas": spec.max_replicas,
            "metrics": [_metric(leaderboard, metric) for metric in metrics],
            **({"behavior": behavior} if behavior else {}),
        },
    )


def _metric(leaderboard: LeaderboardView, spec: ScalingMetric) -> Object:
    if spec.average_utilization is not None:
        target: Object = {"type": "Utilization", "averageUtilization": spec.average_utilization}
    else:
        target = {"type": "AverageValue", "averageValue": str(spec.average_value)}
    if spec.type == "CPU":
        return {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    if spec.api == "External":
        labels = {"namespace": leaderboard.namespace, "leaderboard": leaderboard.name}
        metric = {"name": SOCKETS, "selector": {"matchLabels": labels}}
        return {"type": "External", "external": {"metric": metric, "target": target}}
    return {"type": "Pods", "pods": {"metric": {"name": SOCKETS}, "target": target}}


def disruption_budget(leaderboard: LeaderboardView) -> Object | None:
    """The PodDisruptionBudget, if there are two pods or more: with one pod it would block the drain of a node."""
    if leaderboard.replicas < 2:
        return None
    return leaderboard.object(
        "policy/v1",
        "PodDisruptionBudget",
        spec={
            "maxUnavailable": leaderboard.spec.disruption.max_unavailable,
            "selector": {"matchLabels": leaderboard.selector},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    )
