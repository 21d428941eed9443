"""Rules: the committed files are up to date, promtool accepts them, and they use existing metrics."""

from __future__ import annotations

import re
from typing import get_args

import pytest
import yaml

from leaderboard_operator.cli import main
from leaderboard_operator.monitoring import Routing, Scope, leaderboard_groups
from leaderboard_operator.resources.monitoring import prometheus_rule
from leaderboard_operator.spec.operations import Slo, Threshold
from tests.support.dashboards import expressions
from tests.support.leaderboard_views import view
from tests.support.leaderboards import spec
from tests.support.prometheus import promtool
from tests.support.rules import ALERTS, FILES, RECORDINGS
from tornado_app.observability.metrics import FAST


def check(path) -> str:
    """What promtool finds wrong."""
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", path)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_rules_file_is_up_to_date(path, capsys):
    """After a change that is meant: `leaderboard-operator rules > dashboards/rules.yaml`, and `rules --fleet`."""
    assert main(["rules", *FILES[path]]) == 0
    assert capsys.readouterr().out == path.read_text(encoding="utf-8")
    assert check(path) == ""


def test_rules_of_one_leaderboard_are_accepted_by_promtool(tmp_path):
    slo = {"availability": "99.95", "latency": "1s", "propagation": "2.5s"}
    made = prometheus_rule(view(spec(monitoring={"slo": slo})))
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(made["spec"]), encoding="utf-8")
    assert check(path) == ""


def test_promtool_check_finds_a_broken_rule(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [{"record": "a:b:c", "expr": "sum("}]}]}))
    assert "could not parse expression" in check(path)


def test_rules_of_a_leaderboard_have_its_own_objectives():
    slo = {"availability": "99.95", "latency": "1s", "propagation": "2.5s"}
    text = str(prometheus_rule(view(spec(monitoring={"slo": slo}))))
    assert "> 14.4 * 0.0005" in text
    assert 'le="1.0"}' in text
    assert 'le="2.5"}' in text
    assert "more than 2.5s to the last socket" in text
    assert "0.05 % that the objective allows" in text


def test_rules_of_one_leaderboard_select_no_other():
    """Each selector of each expression; those of the whole fleet ask for no name."""
    for group in leaderboard_groups(Slo(), Scope("games", "arcade")):
        for rule in group.rules:
            expression = rule.as_object(Routing())["expr"]
            selectors = re.findall(r"(process_\w+|leaderboard_\w+|leaderboard:[\w:]+)(\{[^}]*\})?", expression)
            assert selectors
            for metric, matchers in selectors:
                assert matchers.startswith('{namespace="games",leaderboard="arcade"'), (metric, expression)


def test_objectives_are_bucket_bounds_of_the_service():
    """Neither imports the other: an objective between two buckets could not be counted."""
    for limit in get_args(Threshold):
        unit = 1000 if limit.endswith("ms") else 1
        assert float(limit.rstrip("ms")) / unit in FAST, limit


def test_recording_names_have_level_metric_and_operation():
    for each in RECORDINGS:
        assert re.fullmatch(r"leaderboard:[a-z_]+:(ratio_rate|rate|increase|mean)[0-9]+[mhd]", each.name)
    for each in ALERTS:
        assert re.fullmatch(r"Leaderboard([A-Z][a-z]+)+", each.name)


def test_alert_expressions_use_existing_series():
    """And each recording is read: by an alert, by another recording, or by a dashboard."""
    recorded = {each.name for each in RECORDINGS}
    alerts = " ".join(each.as_object(Routing())["expr"] for each in ALERTS)
    others = " ".join([*(each.expression for each in RECORDINGS), *(each.text for each in expressions())])
    assert names(alerts) <= recorded
    assert names(f"{alerts} {others}") == recorded


def names(text: str) -> set[str]:
    return set(re.findall(r"leaderboard:[\w:]+", text))


def test_severities_labels_and_dashboards_follow_the_flags(capsys):
    flags = ["--severity", "page=critical", "--alert-label", "team=games", "--grafana-url", "https://grafana.example/"]
    assert main(["rules", "--fleet", *flags]) == 0
    rules = [rule for group in yaml.safe_load(capsys.readouterr().out)["groups"] for rule in group["rules"]]
    found = {(rule["alert"], *rule["labels"].values()): rule["annotations"]["dashboard_url"] for rule in rules}
    board = "?var-namespace={{ $labels.namespace }}&var-leaderboard={{ $labels.leaderboard }}"
    for alert, dashboard in {
        ("LeaderboardUnavailable", "games", "critical"): f"leaderboard-service{board}",
        ("LeaderboardNotReady", "games", "ticket"): f"leaderboard-service{board}",
        ("LeaderboardOperatorAbsent", "games", "critical"): "leaderboard-operator",
        ("LeaderboardOperatorAbsent", "games", "ticket"): "leaderboard-operator",
    }.items():
        assert found[alert] == f"https://grafana.example/d/{dashboard}"


def test_label_of_an_alert_overrides_a_general_one():
    (alert,) = (each for each in ALERTS if each.labels.get("long") == "1h" and each.labels["slo"] == "latency")
    labels = alert.as_object(Routing(labels={"slo": "x", "severity": "y", "team": "z"}))["labels"]
    assert labels == {"slo": "latency", "long": "1h", "short": "5m", "severity": "page", "team": "z"}


@pytest.mark.parametrize("text", ["pages=critical", "page", "=critical"])
def test_unknown_severity_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        main(["rules", "--severity", text])
    assert "--severity" in capsys.readouterr().err


def test_runbook_links_use_the_configured_address(capsys):
    found = []
    for flags in FILES.values():
        main(["rules", *flags, "--runbook-url", "https://docs.example/runbooks/"])
        linked = yaml.safe_load(capsys.readouterr().out)
        found += [rule for group in linked["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(found) == len(ALERTS)
    for rule in found:
        assert rule["annotations"]["runbook_url"] == f"https://docs.example/runbooks/{rule['alert']}.md"
        assert "runbook" not in rule["annotations"]


def test_invalid_label_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--monitoring-label", "kube-prometheus-stack"])
    assert "not of the form NAME=VALUE" in capsys.readouterr().err


def test_alert_without_a_runbook_address_names_the_page():
    for each in ALERTS:
        annotations = each.as_object(Routing())["annotations"]
        assert "runbook_url" not in annotations
        assert annotations["runbook"] == f"docs/runbooks/{each.name}.md"
