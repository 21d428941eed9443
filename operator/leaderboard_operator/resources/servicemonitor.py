"""The ServiceMonitor, by which the Prometheus operator finds the pods' metrics."""

from leaderboard_operator.resources.names import Board, Object


def service_monitor(board: Board) -> Object | None:
    """The ServiceMonitor, unless it is switched off."""
    if board.spec.monitoring.service_monitor == "Disabled":
        return None
    return board.object(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        spec={
            "selector": {"matchLabels": board.selector},
            "endpoints": [{"port": "metrics", "interval": "15s"}],
            "targetLabels": ["app.kubernetes.io/instance"],
        },
    )
