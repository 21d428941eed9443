"""What Prometheus records and whom it tells: declared once, here; rules files and PrometheusRules are made from it."""

from leaderboard_operator.monitoring.board import board_groups
from leaderboard_operator.monitoring.fleet import fleet_groups
from leaderboard_operator.monitoring.objectives import promised
from leaderboard_operator.monitoring.rules import Alert, Recording, Routing, Scope

__all__ = ["Alert", "Recording", "Routing", "Scope", "board_groups", "fleet_groups", "promised"]
