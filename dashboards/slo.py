"""The service level objectives on the dashboards: the three promises to players, and whether they are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from grafana_foundation_sdk.builders import stat, table

from dashboards.panels import GREEN, ORANGE, RED, YELLOW, Look, column, figures, now, rows
from dashboards.queries import WHERE, Scope, failed, join, late, series, slow
from leaderboard_operator.monitoring.objectives import BURNS, MONTH, WITHIN

HURTS = min((each.factor for each in BURNS if each.severity == "page"), key=float)
"""The burn rate from which on players are hurt: the lower one of those that page somebody."""


class Objective(NamedTuple):
    """A promise. `share(window, *by)` is how much of it is broken, `budget` how much may be, `weight` how bad it is."""

    name: str
    question: str
    share: Callable[..., str]
    budget: str
    weight: int
    recorded: str

    def burn(self, window: str, *by: str) -> str:
        """How many times faster than it may the error budget is being spent; 1 spends it in its 30 days."""
        return f"({self.share(window, *by)}) / {self.budget}"

    def left(self) -> str:
        """The share of the error budget of a month that is left, of the Leaderboard with least."""
        month = series(f"leaderboard:{self.recorded}:ratio_rate{MONTH}")
        return f"1 - max({month}) / {self.budget}"

    def hurts(self, *by: str) -> str:
        """1 where it is broken so often that players are hurt, else 0."""
        return f"{self.burn('5m', *by)} > bool {HURTS}"


OBJECTIVES = (
    Objective(
        "Availability",
        "How many requests are answered?",
        failed,
        "(1 - $availability / 100)",
        3,
        "http_requests_failed",
    ),
    Objective(
        "Latency", "How many requests are answered within $latency s?", slow, str(1 - WITHIN), 2, "http_requests_slow"
    ),
    Objective(
        "Propagation",
        "How many changes reach all pages within $propagation s?",
        late,
        str(1 - WITHIN),
        1,
        "update_propagation_slow",
    ),
)
DOWN = 4
VERDICT = {
    0.0: ("fine", GREEN),
    1.0: ("hurt: board is late", ORANGE),
    2.0: ("hurt: answers are slow", ORANGE),
    3.0: ("hurt: requests fail", RED),
    float(DOWN): ("hurt: nothing is ready", RED),
}


def down() -> str:
    """1 where no pod is ready, or none is seen, else 0."""
    return f"({join('max', series('leaderboard_ready'))} or vector(0)) == bool 0"


def verdict() -> str:
    """The worst of what hurts the players of all Leaderboards together, as VERDICT has it."""
    return worst(
        {each.name: f"{each.weight} * ({each.hurts()})" for each in OBJECTIVES} | {"Serving": f"{DOWN} * ({down()})"}
    )


def verdicts(*by: str) -> str:
    """The same of each Leaderboard; that its pods are missing, the operator knows."""
    ready, desired = (
        join("max", series("leaderboard_operator_replicas", f'state="{state}"'), *by) for state in ("ready", "desired")
    )
    parts = {each.name: f"{each.weight} * ({each.hurts(*by)})" for each in OBJECTIVES}
    parts["Serving"] = f"{DOWN} * (({ready} == bool 0) * ({desired} > bool 0))"
    return worst(parts, *by)


def worst(parts: Mapping[str, str], *by: str) -> str:
    """The largest of several expressions with the same labels; those that give nothing are left out."""
    named = (f'label_replace({one}, "part", "{name}", "", "")' for name, one in parts.items())
    return join("max", " or ".join(named), *by)


def figure(objective: Objective) -> stat.Panel:
    """How far a promise is kept, and how fast its error budget is being spent."""
    return figures(
        objective.name,
        f"{objective.question} And how many times faster than it may is the error budget being spent? Over 5 minutes; "
        f"at 1 × it would last 30 days, from {HURTS} × on players are hurt.",
        {
            "kept": (now(f"1 - ({objective.share('5m')})"), Look("percentunit", decimals=2)),
            "burn rate": (now(objective.burn("5m")), Look("suffix: ×", {1.0: YELLOW, float(HURTS): RED}, decimals=1)),
        },
    )


def alerts(scope: Scope = WHERE, width: int = 10) -> table.Panel:
    """What fires, with a way to its runbook."""
    panel = rows(
        "Alerts",
        "What fires, and what does its runbook say? A click on its name leads there.",
        now(series("ALERTS", 'alertname=~"Leaderboard.+"', 'alertstate="firing"', scope=scope)),
        names={"severity": "Severity", "alertname": "Alert", "namespace": "Namespace", "leaderboard": "Leaderboard"},
        width=width,
        height=6,
        empty="nothing fires",
    )
    column(panel, "Severity", Look(words={"page": ("page", RED), "ticket": ("ticket", ORANGE)}, width=80))
    for name in ("Namespace", "Leaderboard"):
        column(panel, name, Look(width=110))
    return column(panel, "Alert", Look(link=("Runbook", "${runbooks}/${__value.raw}.md")))
