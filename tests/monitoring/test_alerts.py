"""promtool's unit tests: each alert fires within its time, and not below its threshold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import promtool
from tests.support.rules import ALERTS, WRITTEN

HERE = Path(__file__).parent
CASES = sorted((HERE / "rules").glob("*.yaml"))

Object = dict[str, Any]


def expectations() -> Iterator[Object]:
    """Each moment at which some test looks at an alert."""
    for path in CASES:
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            yield from test["alert_rule_test"]


def groups(cases: str, *, annotated: bool) -> Iterator[Object]:
    """The alerts that some cases name, and what they read: not all rules, since each takes its time in each minute."""
    alerts = [rule for group in WRITTEN for rule in group["rules"] if rule.get("alert", "none") in cases]
    read = "".join(rule["expr"] for rule in alerts)
    for group in WRITTEN:
        kept = [rule for rule in group["rules"] if rule in alerts or rule.get("record", "none") in read]
        if not annotated:  # promtool compares them word by word
            kept = [{name: value for name, value in rule.items() if name != "annotations"} for rule in kept]
        if kept:
            yield {**group, "rules": kept}


def check(folder: Path, path: Path, *, annotated: bool) -> None:
    """Run a file of cases beside the rules that it needs."""
    cases = path.read_text(encoding="utf-8")
    (folder / path.name).write_text(cases, encoding="utf-8")
    rules = {"groups": list(groups(cases, annotated=annotated))}
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    done = promtool("test", "rules", path.name, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alert_fires_for_its_case(path, tmp_path):
    check(tmp_path, path, annotated=False)


def test_alert_has_its_labels_and_annotations(tmp_path):
    check(tmp_path, HERE / "annotations.yaml", annotated=True)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: "-".join([alert.name, *alert.labels.values()]))
def test_alert_has_a_firing_and_a_silent_case(alert):
    wanted = {"severity": alert.severity, **alert.labels}
    checks = [each for each in expectations() if each["alertname"] == alert.name]
    fires = [any(wanted.items() <= found["exp_labels"].items() for found in each["exp_alerts"]) for each in checks]
    assert set(fires) == {True, False}
