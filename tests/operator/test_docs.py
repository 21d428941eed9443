"""docs/operator.md is in step with the code: every field, every reason, every condition, and the samples."""

from __future__ import annotations

import re

from leaderboard_operator import pods, status
from leaderboard_operator.spec.document import inserted
from tests.operator.test_status import TABLE, seen
from tests.test_ci import ROOT

DOC = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "operator" / "leaderboard_operator"


def test_the_fields_are_those_of_the_types():
    """After a change that is meant: `python -m leaderboard_operator.spec.document docs/operator.md`."""
    assert inserted(DOC) == DOC


def reasons() -> set[str]:
    written = re.compile(r'Trouble\(\s*"(\w+)"')
    found = {reason for path in PACKAGE.glob("*.py") for reason in written.findall(path.read_text(encoding="utf-8"))}
    return found | pods.DATABASE_REASONS


def test_every_reason_is_told():
    told = set(re.findall(r"`(\w+)`", DOC.partition("## Conditions")[2].partition("## Fields")[0]))
    assert reasons() - told == set()
    assert len(reasons()) > 30


def test_every_condition_is_told():
    found = status.status(seen(**TABLE["all is well"][0]), {})["conditions"]
    assert all(f"| `{each['type']}` |" in DOC for each in found)
