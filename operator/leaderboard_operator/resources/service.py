"""The Service: what clients reach by its name, and the metrics beside it."""

from leaderboard_operator.resources.names import HTTP_PORT, METRICS_PORT, Board, Object


def service(board: Board) -> Object:
    """The Service."""
    asked = board.spec.exposure.service
    wishes = {
        "externalTrafficPolicy": asked.external_traffic_policy,
        "loadBalancerClass": asked.load_balancer_class,
        "loadBalancerSourceRanges": asked.load_balancer_source_ranges,
    }
    found = board.object(
        "v1",
        "Service",
        spec={
            "type": asked.type,
            "ipFamilyPolicy": asked.ip_family_policy,
            **{name: value for name, value in wishes.items() if value},
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
