"""The runbooks of docs/runbooks, and their PromQL expressions."""

from __future__ import annotations

import re

from tests.support.project import ROOT

RUNBOOKS = {path.stem: path for path in (ROOT / "docs" / "runbooks").iterdir()}
"""The page of each alert."""
QUERY = re.compile(r"```promql\n(.*?)\n```", re.DOTALL)


def queries() -> set[str]:
    """Every expression of every runbook."""
    return {each for path in RUNBOOKS.values() for each in QUERY.findall(path.read_text(encoding="utf-8"))}
