"""Structured logs through the standard library, which the service and the operator share."""

from leaderboard_logs.lines import ShortForm
from leaderboard_logs.output import configure

__all__ = ["ShortForm", "configure"]
