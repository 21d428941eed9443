"""Each alert fires when it should, within its time, and does not on the near miss: promtool's own unit tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.test_rules import ALERTS
from tests.support.chart import ROOT
from tests.support.prometheus import promtool

HERE = Path(__file__).parent
RULES = ROOT / "dashboards" / "rules.yaml"
CASES = sorted((HERE / "rules").glob("*.yaml"))

Object = dict[str, Any]


def expectations() -> Iterator[Object]:
    """Each moment at which some test looks at an alert."""
    for path in CASES:
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            yield from test["alert_rule_test"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The rules as the cases want them: without annotations, which promtool compares word by word."""
    found = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in found["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    made = tmp_path_factory.mktemp("rules")
    (made / "rules.yaml").write_text(yaml.safe_dump(found), encoding="utf-8")
    return made


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(folder, path):
    check(folder, path)


def test_what_an_alert_says(tmp_path):
    shutil.copy(RULES, tmp_path)
    check(tmp_path, HERE / "annotations.yaml")


def check(folder: Path, path: Path) -> None:
    """Run a file of cases beside the rules of a folder."""
    shutil.copy(path, folder)
    done = promtool("test", "rules", path.name, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: "-".join([alert.name, *alert.labels.values()]))
def test_there_is_a_case_for_it_and_one_against_it(alert):
    wanted = {"severity": alert.severity, **alert.labels}
    looks = [each for each in expectations() if each["alertname"] == alert.name]
    fires = [any(wanted.items() <= found["exp_labels"].items() for found in each["exp_alerts"]) for each in looks]
    assert set(fires) == {True, False}
