"""The ServiceMonitor, by which the Prometheus operator finds the pods' metrics."""

from leaderboard_operator.resources.names import NAME_LABEL, Board, Object
from leaderboard_operator.resources.service import METRICS_LABEL


def service_monitor(board: Board) -> Object | None:
    """The ServiceMonitor, unless it is switched off. Series get the Leaderboard's name: rules and panels ask by it."""
    if board.spec.monitoring.service_monitor == "Disabled":
        return None
    return board.monitoring_object(
        "ServiceMonitor",
        spec={
            "jobLabel": NAME_LABEL,
            "selector": {"matchLabels": {**board.selector, **METRICS_LABEL}},
            "endpoints": [
                {
                    "port": "metrics",
                    "interval": "15s",
                    "relabelings": [{"targetLabel": "leaderboard", "replacement": board.name}],
                }
            ],
        },
    )
