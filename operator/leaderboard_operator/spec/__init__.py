"""The `Leaderboard` resource: declared once, here, as types; the CRD and docs/operator.md are made from them."""

from leaderboard_operator.spec.leaderboard import Spec, Status

__all__ = ["Spec", "Status"]
