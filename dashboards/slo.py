"""The service level objectives on the dashboards: the three promises to players, and whether they are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from grafana_foundation_sdk.builders import stat, table

from dashboards.panels import GREEN, ORANGE, RED, YELLOW, Look, column, figures, now, rows
from dashboards.queries import EACH, WHERE, Scope, budget, failed, join, late, series, slow
from leaderboard_operator.monitoring.objectives import BUDGET_PERIOD, BURNS

HURTS = min((each.factor for each in BURNS if each.severity == "page"), key=float)
"""The burn rate from which on players are hurt: the lower one of those that page."""

NAME = "{{namespace}}/{{leaderboard}}"


class Objective(NamedTuple):
    """A promise. `share(window)` is how much of it is broken, of each Leaderboard; `weight` how bad that is.

    `slo` is its name in a resource, `recorded` that of its recordings.
    """

    name: str
    slo: str
    question: str
    share: Callable[[str], str]
    weight: int
    recorded: str

    def burn(self, window: str) -> str:
        """How many times faster than it may the error budget is being spent; 1 spends it in its 30 days."""
        return f"({self.share(window)}) / {budget(self.slo)}"

    def hurts(self) -> str:
        """1 where it is broken so often that players are hurt, else 0."""
        return f"({self.burn('5m')}) > bool {HURTS}"

    def left(self) -> str:
        """The share of the error budget of a month that is left, of the Leaderboard with least."""
        month = join("max", series(f"leaderboard:{self.recorded}:ratio_rate{BUDGET_PERIOD}"), *EACH)
        return f"1 - max({month} / {budget(self.slo)})"


OBJECTIVES = (
    Objective("Availability", "availability", "How many requests are answered?", failed, 4, "http_requests_failed"),
    Objective("Latency", "latency", "How many requests are answered in time?", slow, 3, "http_requests_slow"),
    Objective(
        "Propagation", "propagation", "How many changes reach all pages in time?", late, 2, "update_propagation_slow"
    ),
)
PAGED, DOWN = 1, 5
VERDICT = {
    0.0: ("fine", GREEN),
    float(PAGED): ("a page fires", RED),
    2.0: ("hurt: board is late", ORANGE),
    3.0: ("hurt: answers are slow", ORANGE),
    4.0: ("hurt: requests fail", RED),
    float(DOWN): ("hurt: nothing is ready", RED),
}


def down() -> str:
    """1 for each Leaderboard of which no pod is ready, else 0: by its pods, and by the operator where none is seen."""
    ready, desired = (
        join("max", series("leaderboard_operator_replicas", f'state="{state}"'), *EACH)
        for state in ("ready", "desired")
    )
    by_pods = f"{join('max', series('leaderboard_ready'), *EACH)} == bool 0"
    return f"({by_pods}) or ({ready} == bool 0) * ({desired} > bool 0)"


def paged() -> str:
    """1 for each Leaderboard of which an alert wakes a person."""
    firing = series(
        "ALERTS", 'alertname=~"Leaderboard.+"', 'alertstate="firing"', 'severity=~"$page"', 'leaderboard!=""'
    )
    return join("max", firing, *EACH)


def verdicts() -> str:
    """The worst of what hurts the players of each Leaderboard, as in VERDICT; never fine beside a page that fires."""
    parts = {each.name: f"{each.weight} * ({each.hurts()})" for each in OBJECTIVES}
    parts |= {"Serving": f"{DOWN} * ({down()})", "Pages": f"{PAGED} * {paged()}"}
    return worst(parts, *EACH)


def worst(parts: Mapping[str, str], *by: str) -> str:
    """The largest of several expressions with the same labels; those that give nothing are left out."""
    named = (f'label_replace({one}, "part", "{name}", "", "")' for name, one in parts.items())
    return join("max", " or ".join(named), *by)


def figure(objective: Objective) -> stat.Panel:
    """The ratio of an objective, and the burn rate of its error budget, of the worst Leaderboard."""
    return figures(
        objective.name,
        f"{objective.question} And how many times faster than it may is the error budget being spent? Of the worst of "
        f"the Leaderboards chosen, over 5 minutes; at 1 × it would last 30 days, from {HURTS} × on players are hurt.",
        {
            "kept": (now(f"min(1 - ({objective.share('5m')}))"), Look("percentunit", decimals=2)),
            "burn rate": (
                now(f"max({objective.burn('5m')})"),
                Look("suffix: ×", {1.0: YELLOW, float(HURTS): RED}, decimals=1),
            ),
        },
    )


def alerts(scope: Scope = WHERE, width: int = 10) -> table.Panel:
    """The firing alerts, with links to the runbook and to the Leaderboard."""
    panel = rows(
        "Alerts",
        "What fires, and what does its runbook say? A click on its name leads there, one on a Leaderboard to its "
        "dashboard.",
        now(series("ALERTS", 'alertname=~"Leaderboard.+"', 'alertstate="firing"', scope=scope)),
        names={"severity": "Severity", "alertname": "Alert", "namespace": "Namespace", "leaderboard": "Leaderboard"},
        width=width,
        height=6,
        empty="nothing fires",
    )
    words = {"page": ("page", RED), "critical": ("critical", RED), "ticket": ("ticket", ORANGE)}
    column(panel, "Severity", Look(words=words, width=80))
    column(panel, "Namespace", Look(width=110))
    column(panel, "Leaderboard", Look(link=("Its dashboard", service_of("__value.raw")), width=110))
    return column(panel, "Alert", Look(link=("Runbook", "${runbooks}/${__value.raw}.md")))


def service_of(leaderboard: str) -> str:
    """The address of Service with the Leaderboard of a table's row; `leaderboard` is Grafana's name of its value."""
    chosen = "&var-namespace=${__data.fields.Namespace}" + f"&var-leaderboard=${{{leaderboard}}}"
    return "/d/leaderboard-service?${__url_time_range}&var-datasource=${datasource}" + chosen
