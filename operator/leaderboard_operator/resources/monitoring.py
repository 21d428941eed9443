"""Objects for the Prometheus operator: ServiceMonitor and PrometheusRule."""

from leaderboard_operator import Object
from leaderboard_operator.monitoring import Scope, leaderboard_groups
from leaderboard_operator.resources.networking import METRICS_LABEL
from leaderboard_operator.resources.view import NAME_LABEL, LeaderboardView


def service_monitor(leaderboard: LeaderboardView) -> Object | None:
    """The ServiceMonitor. It adds the label `leaderboard` to all series, which rules and panels select by."""
    if leaderboard.spec.monitoring.service_monitor == "Disabled":
        return None
    return leaderboard.monitoring_object(
        "ServiceMonitor",
        spec={
            "jobLabel": NAME_LABEL,
            "selector": {"matchLabels": {**leaderboard.selector, **METRICS_LABEL}},
            "endpoints": [
                {
                    "port": "metrics",
                    "interval": "15s",
                    "relabelings": [{"targetLabel": "leaderboard", "replacement": leaderboard.name}],
                }
            ],
        },
    )


def prometheus_rule(leaderboard: LeaderboardView) -> Object | None:
    """The PrometheusRule: recordings, and alerts for the objectives of this Leaderboard."""
    monitoring = leaderboard.spec.monitoring
    if monitoring.rules == "Disabled":
        return None
    groups = leaderboard_groups(monitoring.slo, Scope(leaderboard.namespace, leaderboard.name))
    return leaderboard.monitoring_object(
        "PrometheusRule", spec={"groups": [group.as_object(leaderboard.routing) for group in groups]}
    )
