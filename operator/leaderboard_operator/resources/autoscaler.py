"""The HorizontalPodAutoscaler, on the Leaderboard's own scale, so that it and `kubectl scale lb` are one path."""

from leaderboard_operator import API_VERSION, GROUP, KIND
from leaderboard_operator.resources.names import Board, Object


def scaling_active(live: Object | None) -> bool | None:
    """Whether the HorizontalPodAutoscaler can compute a number of pods; None until its controller has reported."""
    found = (live or {}).get("status", {}).get("conditions", [])
    return next((each["status"] == "True" for each in found if each["type"] == "ScalingActive"), None)


def autoscaler(board: Board) -> Object | None:
    """The HorizontalPodAutoscaler; None where none is asked for, or the Leaderboard is scaled to nothing."""
    asked = board.spec.autoscaling
    if asked is None:
        return None
    return board.object(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        spec={
            "scaleTargetRef": {"apiVersion": f"{GROUP}/{API_VERSION}", "kind": KIND, "name": board.name},
            "minReplicas": asked.min_replicas,
            "maxReplicas": asked.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": asked.target_cpu_utilization},
                    },
                }
            ],
        },
    )
