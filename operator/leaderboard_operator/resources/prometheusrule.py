"""The PrometheusRule: what is recorded of the Leaderboard, and alerts that hold it to its own objectives."""

from leaderboard_operator.monitoring import Scope, board_groups
from leaderboard_operator.resources.names import Board, Object


def prometheus_rule(board: Board) -> Object | None:
    """The PrometheusRule, unless it is switched off."""
    monitoring = board.spec.monitoring
    if monitoring.rules == "Disabled":
        return None
    found = board_groups(monitoring.slo, Scope(board.namespace, board.name))
    return board.monitoring_object("PrometheusRule", spec={"groups": [each.group(board.routing) for each in found]})
