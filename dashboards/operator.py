"""Operator: whether it hears of changes, carries them out, and may."""

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
    2.0: ("blind: hears of no changes", RED),
    3.0: ("nobody leads", RED),
}


def operator() -> dict[str, Any]:
    """The dashboard."""
    return dashboard(
        "Operator",
        "The operator of Leaderboards: does it hear of changes, and does it carry them out? While it does not, "
        "Leaderboards serve on as they are.",
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
            "Does it hear of changes and carry them out? Of several reasons the worst is said; errors are those of the "
            "last 10 minutes.",
            now(_verdict()),
            Look(words=VERDICT),
            width=5,
        ),
        number(
            "Leaders",
            "Does one, and only one, hold the lease?",
            now(total(_leading())),
            Look(steps={1.0: GREEN, 2.0: RED}, lowest=RED),
            width=3,
        ),
        number(
            "Watch",
            "How long ago was its watch last in step with a list of Leaderboards? It looks each minute.",
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
            "Which pod led when? It should change with a rollout, and seldom else.",
            query(join("max", _leading(), "pod"), "{{pod}}"),
            words={0.0: ("stands by", BLUE), 1.0: ("leads", GREEN)},
            width=12,
        ),
        states(
            "Leaderboards it cannot bring about",
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
                "How much does it do, and how does it end? requeue_after waits for pods, error is tried again.",
                "ops",
                query(total(rate(f"{RECONCILE}_total", CONTROLLER, scope=OPERATOR), "result"), "{{result}}"),
                stacked=True,
            ),
            error=RED,
        ),
        lines(
            "Time of a reconcile",
            "Does it take longer than it did? Most of it is waiting for the API server.",
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
            "Does it keep up? What waits longer than a minute is behind.",
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
            "How much does it ask of the API server? A fleet at rest is read, and not written.",
            "reqps",
            query(total(requests, "method"), "{{method}}"),
            stacked=True,
        ),
        lines(
            "Answers",
            "What does it get? 403 is a right that the chart's role lacks, 409 somebody else's change, "
            "`<error>` no answer.",
            "reqps",
            query(total(requests, "code"), "{{code}}"),
        ),
        lines(
            "Age of the watch",
            f"Does it hear of changes? From {BLIND} s on it is blind.",
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
