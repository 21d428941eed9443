"""A runbook for each alert: its meaning, confirmation, remedy and end."""

from __future__ import annotations

import re

import pytest
import yaml

from leaderboard_operator.monitoring.objectives import BURNS
from tests.support.chart import CHART, ROOT
from tests.support.leaderboard_views import view
from tests.support.operator_page import PAGE
from tests.support.rules import ALERTS, RECORDINGS
from tests.support.runbooks import QUERY, RUNBOOKS

MONITORING = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
SECTIONS = ["What it means", "Confirm", "What to do", "When it is over"]
LEAVES = re.findall(r"^\| `([\w.]+)", PAGE.partition("## Fields")[2], re.MULTILINE)
FIELDS = {".".join(leaf.split(".")[:depth]) for leaf in LEAVES for depth in range(1, 9)}
"""Each field of the resource, and what it is part of."""
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SOURCES = "".join(
    path.read_text(encoding="utf-8") for folder in ("tornado_app", "operator") for path in (ROOT / folder).rglob("*.py")
)


def test_runbooks_and_alerts_correspond():
    assert set(RUNBOOKS) == {alert.name for alert in ALERTS}


@pytest.fixture(params=sorted(RUNBOOKS))
def text(request):
    return RUNBOOKS[request.param].read_text(encoding="utf-8")


def test_runbook_has_its_four_sections(text):
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    parts = re.split(r"^## .+$", text, flags=re.MULTILINE)
    assert all(len(part.split()) > 10 for part in parts)
    assert QUERY.search(parts[2]), "how to confirm is an expression too"


def test_runbook_fields_exist_in_the_crd(text):
    named = set(re.findall(r"`spec\.([\w.]+)`", text))
    assert {each for each in named - FIELDS if each.rpartition(".")[0] not in LEAVES} == set()  # a map's key is free


def test_runbook_chart_values_exist(text):
    for path in re.findall(r"the chart's value `([\w.]+)`", " ".join(text.split())):
        found = VALUES
        for name in path.split("."):
            found = found[name]


def test_runbook_log_queries_match_real_log_lines(text):
    for words in re.findall(r"logs [^|]*\| grep '?\"?([^-'\"\n]+)", text):
        assert words in SOURCES, words


def test_runbook_log_commands_show_every_pod(text):
    """With a selector kubectl shows ten lines of each pod unless it gets a number, and not which pod wrote a line."""
    (selector,) = (f"{name}={value}" for name, value in view().selector.items())
    for named in re.findall(r"kubectl --namespace games .*--selector (\S+)", text):
        assert named == selector
    for command in re.findall(r"^kubectl .* logs .*$", text, re.MULTILINE):
        assert "--prefix" in command
        assert "--tail=-1" in command or "--previous --tail=" in command


def test_runbook_service_commands_run_in_pods(text):
    """Where its settings and Secrets are; the container's environment names them."""
    for command in re.findall(r"^.*\bleaderboard (?:audit|token|check-config).*$", text, re.MULTILINE):
        assert command.startswith("kubectl --namespace games exec deploy/arcade -- leaderboard ")


def test_runbook_links_resolve(text):
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / "docs" / "runbooks" / target.partition("#")[0]).is_file(), target


def test_monitoring_page_lists_each_alert_with_its_severity():
    rows = re.findall(r"^\| \[(\w+)\]\(runbooks/\w+\.md\) \| ([\w, ]+) \|", MONITORING, re.MULTILINE)
    severities = {alert.name: set() for alert in ALERTS}
    for alert in ALERTS:
        severities[alert.name].add(alert.severity)
    assert {name: set(levels.split(", ")) for name, levels in rows} == severities


def test_monitoring_page_has_the_burn_rates():
    table = MONITORING.partition("| Burn rate |")[2].partition("\n\n")[0]
    for burn in BURNS:
        windows = " | ".join(re.sub(r"([0-9]+)m$", r"\1 min", re.sub(r"([hd])$", r" \1", each)) for each in (
            burn.long, burn.short, burn.hold,
        ))  # fmt: skip
        assert f"| {windows} | {burn.severity} |" in table


def test_monitoring_page_names_existing_recordings():
    named = set(re.findall(r"`(leaderboard:[\w:]+)`", MONITORING))
    assert len(named) == 6
    assert named <= {each.name for each in RECORDINGS}


def test_runbook_title_is_the_alert():
    for name, path in RUNBOOKS.items():
        assert path.read_text(encoding="utf-8").startswith(f"# {name}\n")


def test_runbook_reasons_are_in_the_operator_documentation():
    text = RUNBOOKS["LeaderboardUnavailable"].read_text(encoding="utf-8")
    causes = re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE)
    named = {word for cause in causes for word in re.findall(r"`(\w+)`", cause)}
    assert len(named) > 5
    assert named <= set(re.findall(r"`(\w+)`", PAGE.partition("## Conditions")[2].partition("## Fields")[0]))
