"""The committed dashboards, and the expressions in them as Prometheus would get them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "dashboards"
NAMES = ("fleet", "service", "operator")
CHOSEN = {
    "cluster": ".*",
    "namespace": ".*",
    "leaderboard": ".*",
    "operator": ".*",
    "page": "page|critical",
    "__range": "1h",
    "__rate_interval": "1m",
}
"""The values that Grafana gives the variables at first."""

Object = dict[str, Any]


class Expression(NamedTuple):
    """An expression with its variables filled in, and where it stands: dashboard, and panel, mark or variable."""

    dashboard: str
    place: str
    text: str


def load(name: str) -> Object:
    """A dashboard."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def panels(dashboard: Object) -> list[Object]:
    """Its panels, without the headings of rows."""
    return [panel for panel in everything(dashboard) if panel["type"] != "row"]


def everything(dashboard: Object) -> list[Object]:
    """Its panels and the headings of its rows; the panels of a collapsed row stand after its heading."""
    return [each for panel in dashboard["panels"] for each in (panel, *panel.get("panels", ()))]


def layers(dashboard: Object) -> list[list[Object]]:
    """The panels that are seen together: those at the top, and those of each collapsed row once it is open."""
    return [dashboard["panels"], *(panel["panels"] for panel in dashboard["panels"] if panel.get("panels"))]


def expressions() -> Iterator[Expression]:
    """All expressions of all dashboards."""
    for name in NAMES:
        dashboard = load(name)
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield Expression(name, panel["title"], filled(target["expr"]))
        for mark in dashboard["annotations"]["list"]:
            yield Expression(name, mark["name"], filled(mark["expr"]))
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                series, _ = variable["query"]["query"].removeprefix("label_values(").rsplit(", ", 1)
                yield Expression(name, f"${variable['name']}", filled(series))


def filled(expression: str) -> str:
    """An expression without variables."""
    return re.sub(r"\$([a-zA-Z_]\w*)", lambda found: CHOSEN[found[1]], expression)
