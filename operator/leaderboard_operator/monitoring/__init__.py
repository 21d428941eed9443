"""Recording rules and alerts, in one declaration. Rule files and PrometheusRules are generated from it."""

from leaderboard_operator.monitoring.fleet_alerts import fleet_groups
from leaderboard_operator.monitoring.leaderboard_alerts import leaderboard_groups
from leaderboard_operator.monitoring.objectives import objective_targets
from leaderboard_operator.monitoring.rule_types import Alert, Recording, Routing, Scope

__all__ = ["Alert", "Recording", "Routing", "Scope", "fleet_groups", "leaderboard_groups", "objective_targets"]
