"""The Service: what clients reach by its name, and the metrics beside it."""

from leaderboard_operator.resources.names import HTTP_PORT, METRICS_PORT, Board, Object


def service(board: Board) -> Object:
    """The Service."""
    asked = board.spec.exposure.service
    found = board.object(
        "v1",
        "Service",
        spec={
            "type": asked.type,
            "selector": board.selector,
            "ports": [
                {"name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"},
                {"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"},
            ],
        },
    )
    if asked.annotations:
        found["metadata"]["annotations"] = asked.annotations
    return found
