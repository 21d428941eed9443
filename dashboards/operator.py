"""Operator: does it receive changes, carry them out, and have the rights to do so?"""

from __future__ import annotations

from typing import Any

from dashboards import slo
from dashboards.fleet import condition
from dashboards.frame import boards, dashboard, label, runbooks, starts
from dashboards.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    Look,
    Panel,
    colour,
    heat,
    lines,
    now,
    number,
    query,
    states,
)
from dashboards.queries import OPERATOR, increase, join, own, quantile, rate, series, total

CONTROLLER, QUEUE = 'controller="leaderboard"', 'name="leaderboard"'
RECONCILE = "controller_runtime_reconcile"
AGE = "leaderboard_operator_watch_age_seconds"
WITNESS = series(AGE, scope=OPERATOR)
BLIND = 120
"""Maximum age of the watch in seconds. At 180 the liveness probe restarts the operator."""
VERDICT = {
    0.0: ("at work", GREEN),
    1.0: ("reconciles fail", ORANGE),
    2.0: ("blind: receives no changes", RED),
    3.0: ("no leader", RED),
}


def operator() -> dict[str, Any]:
    """The dashboard."""
    return dashboard(
        "Operator",
        "The operator of Leaderboards: does it receive changes, and does it carry them out? Without it, "
        "Leaderboards keep serving unchanged.",
        (label("operator", "Operator's namespace", AGE, "namespace"), *boards(), runbooks()),
        (starts(OPERATOR, WITNESS),),
        (
            ("Is the operator at work?", _work()),
            ("Reconciles", _reconciles()),
            ("The API server", _api()),
            ("Pods", _pods()),
        ),
    )


def _leading() -> str:
    return series("leader_election_master_status", QUEUE, scope=OPERATOR)


def _verdict() -> str:
    errors = total(increase(f"{RECONCILE}_errors_total", CONTROLLER, window="10m", scope=OPERATOR))
    age = join("max", WITNESS)
    parts = {
        "leader": f"3 * (({total(_leading())} or vector(0)) == bool 0)",
        "watch": f"2 * ({age} > bool {BLIND})",
        "errors": f"1 * ({errors} > bool 0)",
    }
    return slo.worst(parts)


def _work() -> list[Panel]:
    return [
        number(
            "Operator",
            "Does it receive changes and carry them out? Of several reasons the worst is shown; errors are those of "
            "the last 10 minutes.",
            now(_verdict()),
            Look(words=VERDICT),
            width=5,
        ),
        number(
            "Leaders",
            "Does exactly one operator hold the lease?",
            now(total(_leading())),
            Look(steps={1.0: GREEN, 2.0: RED}, lowest=RED),
            width=3,
        ),
        number(
            "Watch",
            "How long ago did its watch last agree with a list of Leaderboards? It compares them each minute.",
            now(join("max", WITNESS)),
            Look("s", {90.0: ORANGE, float(BLIND): RED}, decimals=0),
            width=3,
        ),
        number(
            "Waiting",
            "How many Leaderboards wait to be reconciled?",
            now(total(series("workqueue_depth", QUEUE, scope=OPERATOR))),
            Look(steps={50.0: ORANGE}),
            width=3,
        ),
        slo.alerts(OPERATOR, width=10),
        states(
            "Leader",
            "Which pod was the leader? It should change with a rollout, and otherwise seldom.",
            query(join("max", _leading(), "pod"), "{{pod}}"),
            words={0.0: ("stands by", BLUE), 1.0: ("leads", GREEN)},
            width=12,
        ),
        states(
            "Leaderboards that are not ready",
            "Which Leaderboards are not Ready, and since when? One: look at its status. All: look at the operator.",
            query(condition("Ready"), slo.NAME),
            words={0.0: ("not ready", RED), 1.0: ("ready", GREEN)},
            width=12,
        ),
    ]


def _reconciles() -> list[Panel]:
    seconds = f"{RECONCILE}_time_seconds"
    return [
        colour(
            lines(
                "Reconciles",
                "How many reconciles, with which results? requeue_after waits for pods, error is retried.",
                "ops",
                query(total(rate(f"{RECONCILE}_total", CONTROLLER, scope=OPERATOR), "result"), "{{result}}"),
                stacked=True,
            ),
            error=RED,
        ),
        lines(
            "Time of a reconcile",
            "Do reconciles take longer than before? Most of the time is waiting for the API server.",
            "s",
            *(query(quantile(q, seconds, scope=OPERATOR), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)),
        ),
        heat(
            "Time of a reconcile, all",
            "Are all slow, or one of them?",
            "s",
            total(rate(f"{seconds}_bucket", CONTROLLER, scope=OPERATOR), "le"),
        ),
        lines(
            "Queue",
            "Does it keep up? It does not if a Leaderboard waits for more than a minute.",
            "none",
            query(total(series("workqueue_depth", QUEUE, scope=OPERATOR), "pod"), "{{pod}}"),
            width=12,
        ),
        lines(
            "Reconcile requests",
            "How many changes arrive? Without changes, each Leaderboard is reconciled every five minutes.",
            "ops",
            query(total(rate("workqueue_adds_total", QUEUE, scope=OPERATOR)), "requests"),
            width=12,
        ),
    ]


def _api() -> list[Panel]:
    requests = own(rate("rest_client_requests_total", scope=OPERATOR), WITNESS)
    return [
        lines(
            "Requests",
            "How many requests does the API server get? A fleet at rest is read, and not written.",
            "reqps",
            query(total(requests, "method"), "{{method}}"),
            stacked=True,
        ),
        lines(
            "Answers",
            "Which answers does it get? 403 is a right that the chart's role lacks, 409 a concurrent change, "
            "`<error>` no answer.",
            "reqps",
            query(total(requests, "code"), "{{code}}"),
        ),
        lines(
            "Age of the watch",
            f"Does it receive changes? From {BLIND} s on it is blind.",
            "s",
            query(join("max", WITNESS, "pod"), "{{pod}}"),
            limit=float(BLIND),
        ),
    ]


def _pods() -> list[Panel]:
    return [
        lines(
            "CPU",
            "Is it out of CPU?",
            "percentunit",
            query(total(own(rate("process_cpu_seconds_total", scope=OPERATOR), WITNESS), "pod"), "{{pod}}"),
            width=12,
        ),
        lines(
            "Memory",
            "Does it grow with time, or with Leaderboards only?",
            "bytes",
            query(total(own(series("process_resident_memory_bytes", scope=OPERATOR), WITNESS), "pod"), "{{pod}}"),
            width=12,
        ),
    ]
