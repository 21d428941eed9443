"""The HorizontalPodAutoscaler, on the Leaderboard's own scale, so that it and `kubectl scale lb` are one path."""

from leaderboard_operator import API_VERSION, GROUP, KIND
from leaderboard_operator.resources.names import Board, Object
from leaderboard_operator.spec.runtime import ScalingMetric

SOCKETS = "leaderboard_websocket_connections"

CAREFUL = {
    "scaleDown": {"stabilizationWindowSeconds": 600, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}]}
}
"""Each pod less closes sockets, and a lull may be short."""


def autoscaler(board: Board) -> Object | None:
    """The HorizontalPodAutoscaler; None where none is asked for, or the Leaderboard is scaled to nothing."""
    asked = board.spec.autoscaling
    if asked is None or board.replicas == 0:
        return None
    metrics = asked.metrics or [ScalingMetric(type="CPU", average_utilization=asked.target_cpu_utilization)]
    behavior = asked.behavior or (CAREFUL if any(each.type == "Sockets" for each in metrics) else {})
    return board.object(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        spec={
            "scaleTargetRef": {"apiVersion": f"{GROUP}/{API_VERSION}", "kind": KIND, "name": board.name},
            "minReplicas": asked.min_replicas,
            "maxReplicas": asked.max_replicas,
            "metrics": [_metric(board, each) for each in metrics],
            **({"behavior": behavior} if behavior else {}),
        },
    )


def _metric(board: Board, asked: ScalingMetric) -> Object:
    if asked.average_utilization is not None:
        target: Object = {"type": "Utilization", "averageUtilization": asked.average_utilization}
    else:
        target = {"type": "AverageValue", "averageValue": str(asked.average_value)}
    if asked.type == "CPU":
        return {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    if asked.api == "External":
        labels = {"namespace": board.namespace, "leaderboard": board.name}
        metric = {"name": SOCKETS, "selector": {"matchLabels": labels}}
        return {"type": "External", "external": {"metric": metric, "target": target}}
    return {"type": "Pods", "pods": {"metric": {"name": SOCKETS}, "target": target}}
