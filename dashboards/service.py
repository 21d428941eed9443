"""Service: one Leaderboard. Are players affected, since when, and by which part?"""

from __future__ import annotations

from typing import Any

from dashboards import inside, slo
from dashboards.fleet import fullness
from dashboards.frame import DEPLOYS, boards, dashboard, paging, runbooks, starts
from dashboards.panels import GREEN, ORANGE, RED, Panel, bars, heat, lines, named, now, query, states
from dashboards.queries import (
    DURATION,
    PROPAGATION,
    REQUESTS,
    WHERE,
    events,
    ever,
    join,
    quantile,
    rate,
    series,
    threshold,
    total,
)
from leaderboard_operator.monitoring.objectives import PLAYERS

SUBMISSIONS = "leaderboard_score_submissions_total"
SHOWN = 6
NO_PROBES = 'route!~"/healthz|/readyz|/metrics"'


def service() -> dict[str, Any]:
    """The dashboard."""
    return dashboard(
        "Service",
        "One Leaderboard: are its players hurt, since when, and which part hurts them?",
        (*boards(), runbooks(), paging()),
        (DEPLOYS, starts(WHERE, inside.WITNESS)),
        (
            ("Are players hurt?", _hurt()),
            ("Requests: rate, errors, latency", _requests()),
            ("Live: open pages and their updates", _live()),
            ("Boards: is their file applied, and are results on time?", inside.boards()),
            ("MongoDB: writes, change streams, disk", inside.database()),
            ("Pods: does one of them lack a resource?", inside.pods()),
            ("Trust: do players cheat, and is the ledger complete?", inside.trust()),
        ),
        collapsed=[
            "Boards: is their file applied, and are results on time?",
            "MongoDB: writes, change streams, disk",
            "Pods: does one of them lack a resource?",
            "Trust: do players cheat, and is the ledger complete?",
        ],
    )


def _hurt() -> list[Panel]:
    return [
        named(
            "Players",
            "Are players hurt now, and of which Leaderboard? The six worst. They are hurt if an error budget burned at "
            f"a rate of {slo.HURTS} or more in the last 5 minutes, no pod is ready, or an alert pages. Of several "
            "reasons the worst is shown.",
            now(f"topk({SHOWN}, {slo.verdicts()})", slo.NAME),
            slo.VERDICT,
            width=7,
        ),
        *(slo.figure(each) for each in slo.OBJECTIVES),
        bars(
            "Error budget left",
            "How much of the error budget of 30 days is left? Without any, postpone risky changes.",
            "percentunit",
            *(now(each.left(), each.name) for each in slo.OBJECTIVES),
            steps={0.0: ORANGE, 0.25: GREEN},
            lowest=RED,
            width=5,
        ),
        states(
            "Since when",
            "Since when are players hurt, by what, and did it stop in between? The first panel at each time.",
            *(query(f"max({each.hurts()})", each.name) for each in slo.OBJECTIVES),
            query(f"max({slo.down()})", "Serving"),
            query(f"max({slo.paged()}) or vector(0)", "Pages"),
            words={0.0: ("as promised", GREEN), 1.0: ("hurt", RED)},
            width=14,
        ),
        slo.alerts(),
    ]


def _asked(*by: str, matchers: tuple[str, ...]) -> str:
    """Requests a second, of the kinds that there were."""
    return f"{total(rate(REQUESTS, *matchers), *by)} and {ever(REQUESTS, *by, matchers=matchers)}"


def _requests() -> list[Panel]:
    return [
        lines(
            "Requests",
            "How many requests, by route? A sudden zero is as bad as a flood.",
            "reqps",
            query(_asked("route", matchers=(NO_PROBES,)), "{{route}}"),
            stacked=True,
        ),
        lines(
            "Failed requests",
            "Which requests fail (5xx)? 500 is the database or a defect, 503 an overloaded or stopping pod.",
            "reqps",
            query(_asked("route", "code", matchers=(NO_PROBES, 'code=~"5.."')), "{{code}} {{route}}"),
            empty="none",
        ),
        lines(
            "Refused requests",
            "Which requests are refused (4xx)? 401 is about tokens, 403 about proofs, 429 about the rate limit.",
            "reqps",
            query(_asked("route", "code", matchers=('code=~"4.."',)), "{{code}} {{route}}"),
            empty="none",
        ),
        lines(
            "Time to answer",
            "How long do players wait? One in a hundred waits longer than p99.",
            "s",
            *(query(quantile(q, DURATION, matchers=PLAYERS), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)),
            query(threshold("latency"), "objective"),
        ),
        lines(
            "Time to answer, p99 by route",
            "Which route is slow? Only writes: look at MongoDB. All of them: look at the pods.",
            "s",
            query(f"{quantile(0.99, DURATION, 'route', matchers=PLAYERS)} and {ever(REQUESTS, 'route')}", "{{route}}"),
        ),
        heat(
            "Time to answer, all",
            "Are all requests a little slower, or a few of them much slower?",
            "s",
            total(rate(f"{DURATION}_bucket", *PLAYERS), "le"),
        ),
        lines(
            "Score updates by result",
            "Are updates accepted, and if not, why? All results but accepted and replayed are error codes of the API.",
            "ops",
            query(f"{total(rate(SUBMISSIONS), 'result')} and {ever(SUBMISSIONS, 'result')}", "{{result}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "Score updates by frontend",
            "Through which API do they come? A missing one has lost its clients.",
            "ops",
            query(total(rate(SUBMISSIONS), "frontend"), "{{frontend}}"),
            stacked=True,
            width=12,
        ),
    ]


def _live() -> list[Panel]:
    return [
        lines(
            "Propagation",
            "How long from a committed change of the top 10 until the last open page has it?",
            "s",
            *(query(quantile(q, PROPAGATION), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)),
            query(threshold("propagation"), "objective"),
        ),
        heat(
            "Propagation, all",
            "Is every change a little later, or are a few much later?",
            "s",
            total(rate(f"{PROPAGATION}_bucket"), "le"),
        ),
        lines(
            "Messages",
            "How many messages are sent to open pages?",
            "ops",
            query(total(rate("leaderboard_websocket_messages_total"), "frontend"), "{{frontend}}"),
            stacked=True,
        ),
        lines(
            "Open sockets",
            "How many pages are open? A sudden drop is a lost pod or network; saw teeth are clients that reconnect.",
            "none",
            query(total(series("leaderboard_websocket_connections"), "frontend"), "{{frontend}}"),
            stacked=True,
        ),
        lines(
            "Open sockets by pod",
            "Are they spread over the pods? After a rollout they may not be, until they reconnect.",
            "none",
            query(total(series("leaderboard_websocket_connections"), "pod"), "{{pod}}"),
        ),
        lines(
            "Used share of sockets",
            "Is a pod full? At 1 it refuses clients, and a client cannot choose its pod.",
            "percentunit",
            query(join("max", fullness(), "pod"), "{{pod}}"),
            limit=0.85,
        ),
        lines(
            "Evictions",
            "How many clients does the service disconnect, and why? Many at once: check the clients' network.",
            "none",
            query(events("leaderboard_websocket_evictions_total", "reason"), "{{reason}}"),
            empty="none",
        ),
        lines(
            "Sockets let in",
            "Do clients reconnect again and again? Yes, if the rate stays high and the number does not grow.",
            "ops",
            query(total(rate("leaderboard_websocket_opened_total"), "frontend"), "{{frontend}}"),
        ),
        lines(
            "Sockets refused",
            "Which sockets are refused, by the error code of the API?",
            "none",
            query(events("leaderboard_websocket_refusals_total", "reason"), "{{reason}}"),
            empty="none",
        ),
    ]
