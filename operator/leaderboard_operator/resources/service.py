"""The Services: the one that clients reach by its name, and one for scraping, which is never open to clients."""

from leaderboard_operator import GROUP
from leaderboard_operator.resources.names import METRICS_PORT, Board, Object

METRICS_SUFFIX = "-metrics"

METRICS_LABEL = {f"{GROUP}/service": "metrics"}
"""By which a ServiceMonitor, or a Prometheus without one, tells the Service for scraping from that of clients."""


def service(board: Board) -> Object:
    """The Service of clients."""
    asked = board.spec.exposure.service
    optional = {
        "externalTrafficPolicy": asked.external_traffic_policy,
        "loadBalancerClass": asked.load_balancer_class,
        "loadBalancerSourceRanges": asked.load_balancer_source_ranges,
    }
    return board.object(
        "v1",
        "Service",
        annotations=asked.annotations,
        spec={
            "type": asked.type,
            "ipFamilyPolicy": asked.ip_family_policy,
            **{name: value for name, value in optional.items() if value},
            "selector": board.selector,
            "ports": [
                {
                    "name": "http",
                    "port": asked.port,
                    "targetPort": "http",
                    "protocol": "TCP",
                    "appProtocol": asked.app_protocol,
                }
            ],
        },
    )


def metrics_service(board: Board) -> Object:
    """The Service for scraping: within the cluster only, with pods that are not ready too."""
    return board.object(
        "v1",
        "Service",
        name=board.name + METRICS_SUFFIX,
        labels=METRICS_LABEL,
        spec={
            "type": "ClusterIP",
            "clusterIP": "None",
            "ipFamilyPolicy": board.spec.exposure.service.ip_family_policy,
            "publishNotReadyAddresses": True,
            "selector": board.selector,
            "ports": [{"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"}],
        },
    )
