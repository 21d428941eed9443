"""The operator: runs the service of each `Leaderboard` resource."""

from importlib.metadata import version
from typing import Any, TypeAlias

VERSION = version("leaderboard")
"""The release of the operator, and of the default image of Leaderboards."""

GROUP, API_VERSION, PLURAL, KIND = "leaderboard.dev", "v1alpha1", "leaderboards", "Leaderboard"

MANAGER = "leaderboard-operator"
"""The field manager of all writes, and the name of the operator in labels and Events."""

Object: TypeAlias = dict[str, Any]
"""An object of Kubernetes as in its JSON form."""
