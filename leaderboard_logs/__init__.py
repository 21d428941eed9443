"""Structured logs through the standard library, which the service and the operator share."""

from leaderboard_logs.formatters import ShortForm
from leaderboard_logs.setup import configure

__all__ = ["ShortForm", "configure"]
