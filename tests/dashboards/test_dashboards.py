"""Rules for all dashboards, checked on the files; tests/grafana renders them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import Any

import pytest
import yaml

from dashboards.__main__ import DASHBOARDS, HERE, rendered
from leaderboard_operator.metrics import Metrics as OperatorMetrics
from leaderboard_operator.monitoring.rule_types import DASHBOARDS as RULES
from tests.support.dashboards import NAMES, Expression, everything, expressions, layers, load, panels
from tests.support.prometheus import promtool
from tests.support.rules import RECORDINGS
from tornado_app.observability.metrics import Metrics

KINDS = {"bargauge", "heatmap", "stat", "state-timeline", "table", "timeseries"}
VARIABLES = {"datasource", "cluster", "namespace", "leaderboard"}
OUTSIDE = {"ALERTS": {"alertname", "alertstate", "severity"}}
"""What neither the service nor the operator has, and its labels."""
PROCESS = {f"process_{name}" for name in (
    "cpu_seconds_total", "max_fds", "open_fds", "resident_memory_bytes", "start_time_seconds",
)}  # fmt: skip
"""What the client library measures of each process."""
OF_TARGETS = {"cluster", "namespace", "leaderboard", "pod", "job", "instance"}
"""The labels that Prometheus puts on whatever it scrapes."""

every_dashboard = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def declared() -> dict[str, set[str]]:
    """The labels of each series, by its name."""
    found = {**OUTSIDE, **{name: set() for name in PROCESS}, **{each.name: set() for each in RECORDINGS}}
    for registry in (Metrics().registry, OperatorMetrics().registry):
        # The library lists the names of a registry's collectors nowhere else.
        for collector, names in registry._collector_to_names.items():
            for name in names:
                labels = set(getattr(collector, "_labelnames", ()))
                found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return found


@every_dashboard
def test_dashboard_file_is_up_to_date(name: str) -> None:
    assert (HERE / f"{name}.json").read_text(encoding="utf-8") == rendered(name), "run: make dashboards"


def test_dashboard_has_a_file() -> None:
    assert set(DASHBOARDS) == set(NAMES) == {path.stem for path in HERE.glob("*.json")}


@every_dashboard
def test_dashboard_has_no_id_and_no_fixed_datasource(name: str) -> None:
    """No id, the uid that alerts link to, and no data source but the one that is chosen."""
    dashboard = load(name)
    assert "id" not in dashboard
    assert f"d/{dashboard['uid']}" == RULES[name].partition("?")[0]
    sources = [*panels(dashboard), *dashboard["annotations"]["list"]]
    sources += [target for panel in panels(dashboard) for target in panel["targets"]]
    sources += [each for each in dashboard["templating"]["list"] if each["type"] == "query"]
    assert {each["datasource"]["uid"] for each in sources} == {"${datasource}"}


@every_dashboard
def test_dashboard_has_its_variables(name: str) -> None:
    variables = {each["name"]: each for each in load(name)["templating"]["list"]}
    assert variables.keys() >= VARIABLES
    assert next(iter(variables)) == "datasource", "the others ask it"
    for each in variables.values():
        if each["type"] == "query":
            assert (each["includeAll"], each["allValue"]) == (True, ".*"), "or what has no such label is not shown"
    used = set(re.findall(r"\$\{?([a-zA-Z_]\w*)", rendered(name)))
    assert variables.keys() <= used, "each is used"
    assert {each for each in used if not each.startswith("__")} <= variables.keys()


@every_dashboard
def test_panel_has_a_unit_and_a_description(name: str) -> None:
    for panel in panels(load(name)):
        assert panel["type"] in KINDS
        assert panel["title"]
        assert "?" in panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


@every_dashboard
def test_panels_do_not_overlap(name: str) -> None:
    places = [[(panel["title"], panel["gridPos"]) for panel in layer] for layer in layers(load(name))]
    for title, place in itertools.chain(*places):
        assert place["x"] + place["w"] <= 24, title
    for (one, a), (other, b) in itertools.chain(*(itertools.combinations(layer, 2) for layer in places)):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart = apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart, f"{one} and {other}"


@every_dashboard
def test_panel_rows_have_no_gap(name: str) -> None:
    for layer in layers(load(name)):
        widths: Counter[int] = Counter()
        for panel in layer:
            widths[panel["gridPos"]["y"]] += panel["gridPos"]["w"]
        assert set(widths.values()) == {24}


def test_service_rows_after_the_third_are_collapsed() -> None:
    collapsed = [panel["title"].partition(":")[0] for panel in load("service")["panels"] if panel.get("collapsed")]
    assert collapsed == ["Boards", "MongoDB", "Pods", "Trust"]
    assert len(panels(load("service"))) > 40


@every_dashboard
def test_panels_have_unique_ids(name: str) -> None:
    ids = [panel["id"] for panel in everything(load(name))]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("expression", list(expressions()), ids=lambda each: f"{each.dashboard}-{each.place}")
def test_panel_expressions_use_declared_metrics_and_labels(
    expression: Expression, declared: dict[str, set[str]]
) -> None:
    found = re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression.text) or [(expression.text, "")]
    for metric, matchers in found:
        if metric != "vector(0)":
            assert metric in declared or expression.text.startswith("vector("), metric
            labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", matchers))
            assert labels <= declared.get(metric, set()) | OF_TARGETS, metric


def test_panel_expressions_are_valid_promql(tmp_path: Any) -> None:
    rules = [{"record": f"expression:{number}", "expr": each.text} for number, each in enumerate(expressions())]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    checked = promtool("check", "rules", tmp_path / "rules.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
