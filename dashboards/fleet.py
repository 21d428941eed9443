"""Fleet: every Leaderboard. Which of them fail their players, which do not match their spec, and their versions."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import common

from dashboards import slo
from dashboards.frame import DEPLOYS, boards, dashboard, paging, runbooks
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
from dashboards.queries import DURATION, EACH, PROPAGATION, REQUESTS, join, quantile, rate, series, total

BOARD = {"namespace": "Namespace", "leaderboard": "Leaderboard"}
CONDITION = "leaderboard_operator_condition"
READY = {0.0: ("no", RED), 1.0: ("yes", GREEN)}


def fleet() -> dict[str, Any]:
    """The dashboard."""
    return dashboard(
        "Fleet",
        "Every Leaderboard: which of them fail their players, which do not match their spec, and their versions.",
        (*boards(), runbooks(), paging()),
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
    firing = series("ALERTS", 'alertname=~"Leaderboard.+"', 'alertstate="firing"', 'severity=~"$page"')
    none = {1.0: RED}
    return [
        number(
            "Leaderboards that hurt players",
            "How many Leaderboards fail, are slow, late or down, or have an alert that pages?",
            now(_count(f"{slo.verdicts()} > 0")),
            Look(steps=none),
            width=5,
        ),
        number(
            "Not as asked for",
            "How many Leaderboards are not Ready? They may still serve in their previous version.",
            now(_count(unready)),
            Look(steps={1.0: ORANGE}),
        ),
        number("Pages", "How many alerts page?", now(_count(firing)), Look(steps=none), width=3),
        number(
            "Leaderboards",
            "How many Leaderboards exist, by the operator's or the pods' metrics?",
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
            "Which Leaderboard fails its players, how, and since when?",
            query(slo.verdicts(), slo.NAME),
            words=slo.VERDICT,
            width=12,
            height=8,
        ),
        states(
            "Ready, and since when",
            "Which Leaderboard does not match its spec, and since when? `kubectl get lb` has the reason.",
            query(condition("Ready"), slo.NAME),
            words=READY,
            width=12,
            height=8,
        ),
        rows(
            "Autoscalers",
            "How many pods may each autoscaler request, how many does it request, and does it work?",
            now(join("max", series("leaderboard_operator_min_replicas"), *EACH)),
            now(join("max", series("leaderboard_operator_max_replicas"), *EACH)),
            now(replicas("desired") + " and " + join("max", series("leaderboard_operator_min_replicas"), *EACH)),
            now(join("max", series("leaderboard_operator_autoscaler_active"), *EACH)),
            names=BOARD | {"Value #A": "Minimum", "Value #B": "Maximum", "Value #C": "Desired", "Value #D": "Works"},
            width=8,
            empty="none has an autoscaler",
        ),
        rows(
            "Conditions that report a problem",
            "Which problems do they have? The status has a message for each: `kubectl describe lb`.",
            now(_wrong()),
            names=BOARD | {"condition": "Condition", "status": "Status"},
            width=8,
            empty="no problems",
        ),
        rows(
            "Versions",
            "Which versions run, where, and in how many pods? Two at once: a rollout, perhaps a stuck one.",
            now(f"{join('count', series('leaderboard_build_info'), 'version', *EACH)}"),
            names=BOARD | {"version": "Version", "Value": "Pods"},
            width=8,
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
        "How is each, the worst first? Under the names of the objectives: the burn rates of their error "
        "budgets. A click on a Leaderboard leads to its dashboard.",
        now(slo.verdicts()),
        now(condition("Ready")),
        now(replicas("ready")),
        now(replicas("desired")),
        now(total(rate(REQUESTS, window="5m"), *EACH)),
        *(now(each.burn("5m")) for each in slo.OBJECTIVES),
        now(quantile(0.99, DURATION, *EACH, window="5m")),
        now(quantile(0.99, PROPAGATION, *EACH, window="5m")),
        now(total(series("leaderboard_websocket_connections"), *EACH)),
        now(join("max", fullness(), *EACH)),
        now(join("max", series("leaderboard_ranked_players"), *EACH)),
        names=BOARD
        | {
            "Value #A": "Players are",
            "Value #B": "Ready",
            "Value #C": "Pods ready",
            "Value #D": "Of",
            "Value #E": "Requests",
            "Value #F": "Availability",
            "Value #G": "Latency",
            "Value #H": "Propagation",
            "Value #I": "Answer p99",
            "Value #J": "Live p99",
            "Value #K": "Sockets",
            "Value #L": "Fullest pod",
            "Value #M": "Players",
        },
    )
    column(panel, "Namespace", Look(width=98))
    column(panel, "Leaderboard", Look(link=("Its dashboard", slo.service_of("__value.raw")), width=99))
    column(panel, "Players are", Look(words=slo.VERDICT, width=165))
    column(panel, "Ready", Look(words=READY, width=60))
    column(panel, "Pods ready", Look(width=92))
    column(panel, "Of", Look(width=45))
    column(panel, "Requests", Look("reqps", width=88))
    for each in slo.OBJECTIVES:
        look = Look("suffix: ×", {1.0: YELLOW, float(slo.HURTS): RED}, decimals=1)
        column(panel, each.name, look)
    column(panel, "Answer p99", Look("s"))
    column(panel, "Live p99", Look("s"))
    column(panel, "Sockets", Look("short", width=78))
    column(panel, "Fullest pod", Look("percentunit", {0.85: ORANGE, 0.99: RED}, decimals=0))
    column(panel, "Players", Look("short", width=80))
    return panel.sort_by([common.TableSortByFieldState().display_name("Players are").desc(True)])


def replicas(state: str) -> str:
    """Pods of each Leaderboard, as the operator counts them."""
    return join("max", series("leaderboard_operator_replicas", f'state="{state}"'), *EACH)


def fullness() -> str:
    """The share of its sockets that each pod has."""
    used = f"sum without (frontend) ({series('leaderboard_websocket_connections')})"
    return f"{used} / {series('leaderboard_websocket_connections_limit')}"


def _most() -> list[Panel]:
    return [
        lines(
            "Requests",
            "Which Leaderboard gets most requests?",
            "reqps",
            query(total(rate(REQUESTS), *EACH), slo.NAME),
            stacked=True,
        ),
        lines(
            "Open sockets",
            "Which has most open pages?",
            "none",
            query(total(series("leaderboard_websocket_connections"), *EACH), slo.NAME),
            stacked=True,
        ),
        lines(
            "Score updates",
            "Which has most score updates?",
            "ops",
            query(total(rate("leaderboard_score_submissions_total"), *EACH), slo.NAME),
            stacked=True,
        ),
    ]
