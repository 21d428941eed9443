"""The types of the `Leaderboard` resource. The CRD and the table in docs/operator.md are generated from them."""

from leaderboard_operator.spec.leaderboard import Spec, Status

__all__ = ["Spec", "Status"]
