"""The rules of Prometheus: as the code has them, and as they are committed."""

from __future__ import annotations

import yaml

from leaderboard_operator.monitoring import Alert, Recording, Scope, fleet_groups, leaderboard_groups
from leaderboard_operator.spec.operations import Slo
from tests.support.chart import CHART
from tests.support.project import ROOT

FILES = {ROOT / "dashboards" / "rules.yaml": (), CHART / "files" / "rules.yaml": ("--fleet",)}
GROUPS = (*leaderboard_groups(Slo(), Scope()), *fleet_groups())
ALERTS = [rule for group in GROUPS for rule in group.rules if isinstance(rule, Alert)]
WRITTEN = [group for path in FILES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
"""The groups of the committed files."""
RECORDINGS = [rule for group in GROUPS for rule in group.rules if isinstance(rule, Recording)]
