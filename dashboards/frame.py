"""The common parts of the dashboards: variables, links to each other, marks of deploys, and rows of panels on a
grid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from dashboards import queries
from dashboards.panels import BLUE, DATASOURCE, GREEN, Panel

TAG = "leaderboard"
RUNBOOKS = "docs/runbooks"
PAGE = "page|critical"
Variable = Builder[model.VariableModel]
Mark = dict[str, Any]

DEPLOYS: Mark = {
    "name": "Deploys",
    "expr": f"{queries.total(queries.series('leaderboard_build_info'), 'version')} unless "
    f"{queries.total(queries.series('leaderboard_build_info') + ' offset 1m', 'version')}",
    "step": "30s",
    "titleFormat": "Version {{version}} came",
    "iconColor": GREEN,
}


def starts(scope: queries.Scope, witness: str) -> Mark:
    """Marks when a process started; of the programs that have the series `witness`."""
    began = queries.series("process_start_time_seconds", scope=scope)
    return {
        "name": "Starts",
        "expr": f"1000 * ({queries.own(began, witness)})",
        "step": "30s",
        "titleFormat": "Started: {{pod}}",
        "useValueForTime": "on",
        "iconColor": BLUE,
    }


def dashboard(
    title: str,
    description: str,
    variables: Iterable[Variable],
    marks: Iterable[Mark],
    rows: Sequence[tuple[str, Sequence[Panel]]],
    time: str = "now-1h",
    collapsed: Sequence[str] = (),
) -> dict[str, Any]:
    """A dashboard as Grafana imports it. Its uid stays the same, so that alerts, bookmarks and dashboards link to it.

    `collapsed`: headings of rows whose panels are loaded when a person opens the row.
    The generator does not know all members of annotations, and writes some of panels and variables that Grafana's
    newest schema does not know.
    """
    made = build.Dashboard(f"Leaderboard / {title}").uid(uid(title)).description(description).tags([TAG]).editable()
    made.tooltip(model.DashboardCursorSync.CROSSHAIR).time(time, "now").refresh("30s").timezone("browser")
    others = build.DashboardLink("Leaderboard").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    made.link(others.as_dropdown(False).include_vars(True).keep_time(True))
    for variable in (_datasource(), *variables):
        made.with_variable(variable)
    for heading, panels in rows:
        made.with_row(build.Row(heading))
        for panel in panels:
            made.with_panel(panel)
    found: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    for number, panel in enumerate(found["panels"], start=1):
        panel["id"] = number
        panel.get("options", {}).pop("footer", None)
    found["panels"] = folded(found["panels"], collapsed)
    for variable in found["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name)
    source = {"datasource": DATASOURCE.to_json(), "enable": True, "hide": False}
    found["annotations"] = {"list": [source | mark for mark in marks]}
    return found


def uid(title: str) -> str:
    """The uid of a dashboard; monitoring/rule_types.py of the operator links to it."""
    return f"leaderboard-{title.lower()}"


def folded(panels: Sequence[dict[str, Any]], headings: Sequence[str]) -> list[dict[str, Any]]:
    """The panels of rows with these headings moved into their rows; what is below moves up."""
    found: list[dict[str, Any]] = []
    up = 0
    for start, row in enumerate(panels):
        if row["type"] == "row":
            inside = list(takewhile(lambda panel: panel["type"] != "row", panels[start + 1 :]))
            for panel in (row, *inside):
                panel["gridPos"]["y"] -= up
            row["collapsed"] = row["title"] in headings
            found.append(row)
            (row["panels"] if row["collapsed"] else found).extend(inside)
            if row["collapsed"]:
                below = (panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in inside)
                up += max(below) - row["gridPos"]["y"] - row["gridPos"]["h"]
    return found


def label(name: str, title: str, metric: str, of: str | None = None, *matchers: str) -> Variable:
    """A variable with the values that a label of a metric has; all of them, or none at all, to begin with."""
    selected = f"{metric}{{{', '.join(matchers)}}}" if matchers else metric
    query: dict[str, object] = {"query": f"label_values({selected}, {of or name})", "refId": name}
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        build.QueryVariable(name)
        .label(title)
        .query(query)
        .datasource(DATASOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def boards() -> tuple[Variable, ...]:
    """The variables that select Leaderboards."""
    witness = "leaderboard_build_info"
    return (
        label("cluster", "Cluster", witness),
        label("namespace", "Namespace", witness, None, *queries.WHERE[:1]),
        label("leaderboard", "Leaderboard", witness, None, *queries.WHERE[:2]),
    )


def runbooks() -> Variable:
    """The variable that says where the pages of docs/runbooks are."""
    return _text("runbooks", "Runbooks at", RUNBOOKS)


def paging() -> Variable:
    """The variable that says which value `severity` has for alerts that wake a person."""
    return _text("page", "Severity of a page", PAGE)


def _text(name: str, title: str, first: str) -> Variable:
    current = model.VariableOption(selected=True, text=first, value=first)
    return build.TextBoxVariable(name).label(title).default_value(first).current(current)


def _datasource() -> Variable:
    return build.DatasourceVariable("datasource").label("Data source").type("prometheus")
