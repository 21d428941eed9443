"""The operator: makes a running service of each `Leaderboard` resource, and keeps it so."""

from importlib.metadata import version

VERSION = version("leaderboard")
"""The release that the operator belongs to, and whose image it runs unless told otherwise."""

GROUP, API_VERSION, PLURAL, KIND = "leaderboard.dev", "v1alpha1", "leaderboards", "Leaderboard"

MANAGER = "leaderboard-operator"
"""The field manager of all that the operator writes, and its name in labels, Events and the Lease."""
