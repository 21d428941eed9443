"""Fleet: every Leaderboard. Which of them hurt their players, which are not as asked for, and what they run."""

from __future__ import annotations

from typing import Any

from dashboards import slo
from dashboards.frame import DEPLOYS, boards, dashboard, objectives, runbooks
from dashboards.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Look,
    Panel,
    column,
    lines,
    now,
    number,
    query,
    rows,
    states,
)
from dashboards.queries import DURATION, PROPAGATION, REQUESTS, join, quantile, rate, series, total

EACH = ("namespace", "leaderboard")
BOARD = {"namespace": "Namespace", "leaderboard": "Leaderboard"}
NAME = "{{namespace}}/{{leaderboard}}"
CONDITION = "leaderboard_operator_condition"
READY = {0.0: ("no", RED), 1.0: ("yes", GREEN)}


def fleet() -> dict[str, Any]:
    """The dashboard."""
    return dashboard(
        "Fleet",
        "Every Leaderboard: which of them hurt their players, which are not as asked for, and what they run.",
        (*boards(), *objectives(), runbooks()),
        (DEPLOYS,),
        (
            ("Is every Leaderboard well?", _well()),
            ("Which Leaderboard is it?", _which()),
            ("Who uses most?", _most()),
        ),
        time="now-6h",
    )


def _count(expression: str) -> str:
    return f"count({expression}) or vector(0)"


def _well() -> list[Panel]:
    known = f"{series(CONDITION)} or {series('leaderboard_build_info')}"
    unready = f"{condition('Ready')} == 0"
    firing = series("ALERTS", 'alertname=~"Leaderboard.+"', 'alertstate="firing"', 'severity="page"')
    none = {1.0: RED}
    return [
        number(
            "Leaderboards that hurt players",
            "How many Leaderboards fail, are slow, late or down, so much that somebody is to be woken?",
            now(_count(f"{slo.verdicts(*EACH)} > 0")),
            Look(steps=none),
            width=5,
        ),
        number(
            "Not as asked for",
            "How many Leaderboards are not Ready? They may serve all the same, as they were before.",
            now(_count(unready)),
            Look(steps={1.0: ORANGE}),
        ),
        number("Pages", "How many alerts wake somebody?", now(_count(firing)), Look(steps=none), width=3),
        number(
            "Leaderboards",
            "How many are there, by the operator or by what Prometheus scrapes?",
            now(_count(join("count", known, *EACH))),
            Look(lowest=BLUE),
            width=3,
        ),
        slo.alerts(width=9),
    ]


def _which() -> list[Panel]:
    return [
        _table(),
        states(
            "Hurt, and since when",
            "Which Leaderboard hurts its players, how, and since when?",
            query(slo.verdicts(*EACH), NAME),
            words=slo.VERDICT,
            width=12,
            height=8,
        ),
        states(
            "Ready, and since when",
            "Which Leaderboard is not as its resource asks for, and since when? `kubectl get lb` says why.",
            query(condition("Ready"), NAME),
            words=READY,
            width=12,
            height=8,
        ),
        rows(
            "Conditions that are not as they should be",
            "What is wrong with it? Its status says it in a sentence: `kubectl describe lb`.",
            now(_wrong()),
            names=BOARD | {"condition": "Condition", "status": "Status"},
            width=12,
            empty="all are as they should be",
        ),
        rows(
            "Versions",
            "Which versions run, where, and in how many pods? Two at once: a rollout, or one that got stuck.",
            now(f"{join('count', series('leaderboard_build_info'), 'version', *EACH)}"),
            names=BOARD | {"version": "Version", "Value": "Pods"},
            width=12,
        ),
    ]


def condition(name: str) -> str:
    """1 for each Leaderboard of which a condition is true, else 0."""
    return join("max", series(CONDITION, f'condition="{name}"', 'status="True"'), *EACH)


def _wrong() -> str:
    labels = (*EACH, "condition", "status")
    wanted = series(CONDITION, 'condition=~"Ready|Available|DatabaseReady|SecretsReady"', 'status!="True"')
    unwanted = series(CONDITION, 'condition=~"Stalled|Degraded"', 'status="True"')
    return f"{join('max', f'{wanted} or {unwanted}', *labels)} == 1"


def _table() -> Panel:
    panel = rows(
        "Every Leaderboard",
        "How is each? Under the names of the promises: how many times too fast their error budgets go. A click on a "
        "Leaderboard chooses it, here and on the dashboard Service.",
        now(slo.verdicts(*EACH)),
        now(condition("Ready")),
        now(join("max", series("leaderboard_operator_replicas", 'state="ready"'), *EACH)),
        now(total(rate(REQUESTS, window="5m"), *EACH)),
        *(now(each.burn("5m", *EACH)) for each in slo.OBJECTIVES),
        now(quantile(0.99, DURATION, *EACH, window="5m")),
        now(quantile(0.99, PROPAGATION, *EACH, window="5m")),
        now(total(series("leaderboard_websocket_connections"), *EACH)),
        now(join("max", series("leaderboard_ranked_players"), *EACH)),
        names=BOARD
        | {
            "Value #A": "Players are",
            "Value #B": "Ready",
            "Value #C": "Pods ready",
            "Value #D": "Requests",
            "Value #E": "Availability",
            "Value #F": "Latency",
            "Value #G": "Propagation",
            "Value #H": "Answer p99",
            "Value #I": "Live p99",
            "Value #J": "Sockets",
            "Value #K": "Players",
        },
    )
    here = "/d/${__dashboard.uid}?${__url_time_range}"
    chosen = here + "&var-namespace=${__data.fields.Namespace}&var-leaderboard=${__value.raw}"
    column(panel, "Namespace", Look(width=130))
    column(panel, "Leaderboard", Look(link=("Choose it", chosen), width=130))
    column(panel, "Players are", Look(words=slo.VERDICT, width=180))
    column(panel, "Ready", Look(words=READY))
    column(panel, "Requests", Look("reqps"))
    for each in slo.OBJECTIVES:
        look = Look("suffix: ×", {1.0: YELLOW, float(slo.HURTS): RED}, decimals=1)
        column(panel, each.name, look)
    column(panel, "Answer p99", Look("s"))
    column(panel, "Live p99", Look("s"))
    column(panel, "Sockets", Look("short"))
    return column(panel, "Players", Look("short"))


def _most() -> list[Panel]:
    return [
        lines(
            "Requests",
            "Which Leaderboard is asked most?",
            "reqps",
            query(total(rate(REQUESTS), *EACH), NAME),
            stacked=True,
        ),
        lines(
            "Open sockets",
            "Which has most open pages?",
            "none",
            query(total(series("leaderboard_websocket_connections"), *EACH), NAME),
            stacked=True,
        ),
        lines(
            "Score updates",
            "Which has most score updates?",
            "ops",
            query(total(rate("leaderboard_score_submissions_total"), *EACH), NAME),
            stacked=True,
        ),
    ]
