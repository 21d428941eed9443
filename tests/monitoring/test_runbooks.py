"""A runbook for each alert, which says what it means, how to confirm it, what to do, and when it is over."""

from __future__ import annotations

import re

import pytest

from tests.monitoring.test_rules import ALERTS
from tests.operator.test_docs import DOC
from tests.support.chart import ROOT

RUNBOOKS = {path.stem: path for path in (ROOT / "docs" / "runbooks").iterdir()}
SECTIONS = ["What it means", "Confirm", "What to do", "When it is over"]
QUERY = re.compile(r"```promql\n(.*?)\n```", re.DOTALL)


def queries() -> set[str]:
    """Each expression of each runbook."""
    return {each for path in RUNBOOKS.values() for each in QUERY.findall(path.read_text(encoding="utf-8"))}


def test_each_alert_has_one_and_each_is_an_alerts():
    assert set(RUNBOOKS) == {alert.name for alert in ALERTS}


@pytest.fixture(params=sorted(RUNBOOKS))
def text(request):
    return RUNBOOKS[request.param].read_text(encoding="utf-8")


def test_it_tells_the_four_things_that_one_wants_to_know_at_three(text):
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    parts = re.split(r"^## .+$", text, flags=re.MULTILINE)
    assert all(len(part.split()) > 10 for part in parts)
    assert QUERY.search(parts[2]), "how to confirm is an expression too"


def test_its_links_lead_somewhere(text):
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / "docs" / "runbooks" / target).is_file(), target


def test_its_title_is_the_alert():
    for name, path in RUNBOOKS.items():
        assert path.read_text(encoding="utf-8").startswith(f"# {name}\n")


def test_reasons_that_it_names_are_told_of_in_the_operators_documentation():
    text = RUNBOOKS["LeaderboardUnavailable"].read_text(encoding="utf-8")
    causes = re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE)
    named = {word for cause in causes for word in re.findall(r"`(\w+)`", cause)}
    assert len(named) > 5
    assert named <= set(re.findall(r"`(\w+)`", DOC.partition("## Conditions")[2].partition("## Fields")[0]))
