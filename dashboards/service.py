"""Service: one Leaderboard. Whether players are hurt, since when, and which part hurts them."""

from __future__ import annotations

from typing import Any

from dashboards import slo
from dashboards.frame import DEPLOYS, boards, dashboard, objectives, runbooks, starts
from dashboards.panels import GREEN, ORANGE, RED, Look, Panel, bars, colour, heat, lines, now, number, query, states
from dashboards.queries import (
    DURATION,
    PROPAGATION,
    REQUESTS,
    WHERE,
    increase,
    join,
    mean,
    own,
    quantile,
    rate,
    series,
    total,
)
from leaderboard_operator.monitoring.objectives import PLAYERS

WITNESS = series("leaderboard_build_info")
NO_PROBES = 'route!~"/healthz|/readyz|/metrics"'


def service() -> dict[str, Any]:
    """The dashboard."""
    return dashboard(
        "Service",
        "One Leaderboard: are its players hurt, since when, and which part hurts them?",
        (*boards(), *objectives(), runbooks()),
        (DEPLOYS, starts(WHERE, WITNESS)),
        (
            ("Are players hurt?", _hurt()),
            ("Requests: what players ask, and what they get", _requests()),
            ("Live: what open pages see", _live()),
            ("MongoDB: where scores are kept, and changes come from", _database()),
            ("Pods: is one of them short of anything?", _pods()),
            ("Trust: does somebody cheat, and is the ledger whole?", _trust()),
        ),
    )


def _hurt() -> list[Panel]:
    return [
        number(
            "Players",
            "Are players hurt right now? A promise was broken so often, in the last 5 minutes, that its error budget "
            f"goes {slo.HURTS} times too fast or more; or no pod is ready. Of several reasons the worst is said.",
            now(slo.verdict()),
            Look(words=slo.VERDICT),
            width=5,
        ),
        *(slo.figure(each) for each in slo.OBJECTIVES),
        bars(
            "Error budget left",
            "How much of what may go wrong in 30 days is left? With nothing left, changes wait until it is back.",
            "percentunit",
            *(now(f"1 - {each.burn('30d')}", each.name) for each in slo.OBJECTIVES),
            steps={0.0: ORANGE, 0.25: GREEN},
            lowest=RED,
            width=7,
        ),
        states(
            "Since when",
            "Since when are players hurt, by what, and did it stop in between? As the first panel, at each time.",
            *(query(each.hurts(), each.name) for each in slo.OBJECTIVES),
            query(slo.down(), "Serving"),
            words={0.0: ("as promised", GREEN), 1.0: ("hurt", RED)},
            width=14,
        ),
        slo.alerts(),
    ]


def _requests() -> list[Panel]:
    return [
        lines(
            "Requests",
            "How much is asked, and of what? A sudden nothing is as bad as a flood.",
            "reqps",
            query(total(rate(REQUESTS, NO_PROBES), "route"), "{{route}}"),
            stacked=True,
        ),
        lines(
            "Failed requests",
            "What does the service fail to answer (5xx)? 500 is the database or a defect, 503 a full or ending pod.",
            "reqps",
            query(total(rate(REQUESTS, NO_PROBES, 'code=~"5.."'), "route", "code"), "{{code}} {{route}}"),
            empty="none",
        ),
        lines(
            "Refused requests",
            "What does the service refuse (4xx)? 401 is about tokens, 403 about proofs, 429 about the rate limit.",
            "reqps",
            query(total(rate(REQUESTS, 'code=~"4.."'), "route", "code"), "{{code}} {{route}}"),
        ),
        lines(
            "Time to answer",
            "How long do players wait? One in a hundred waits longer than p99.",
            "s",
            *(query(quantile(q, DURATION, matchers=PLAYERS), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)),
            query("vector($latency)", "objective"),
        ),
        lines(
            "Time to answer, p99 by route",
            "Which route is slow? Only writes: look at MongoDB. All of them: look at the pods.",
            "s",
            query(quantile(0.99, DURATION, "route", matchers=PLAYERS), "{{route}}"),
        ),
        heat(
            "Time to answer, all",
            "Are all requests a bit slower, or a few of them much?",
            "s",
            total(rate(f"{DURATION}_bucket", *PLAYERS), "le"),
        ),
        lines(
            "Score updates by result",
            "Do scores rise, and if not, why? accepted and replayed are well; the others are error codes of the API.",
            "ops",
            query(total(rate("leaderboard_score_submissions_total"), "result"), "{{result}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "Score updates by front end",
            "Which front end do they come through? One that is missing has lost its frontend.",
            "ops",
            query(total(rate("leaderboard_score_submissions_total"), "face"), "{{face}}"),
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
            query("vector($propagation)", "objective"),
        ),
        heat(
            "Propagation, all",
            "Is every change a bit later, or are a few much later?",
            "s",
            total(rate(f"{PROPAGATION}_bucket"), "le"),
        ),
        lines(
            "Messages",
            "How much is sent to open pages?",
            "ops",
            query(total(rate("leaderboard_websocket_messages_total"), "face"), "{{face}}"),
            stacked=True,
        ),
        lines(
            "Open sockets",
            "How many pages are open? A cliff is a lost pod or network, saw teeth are clients that cannot stay.",
            "none",
            query(total(series("leaderboard_websocket_connections"), "face"), "{{face}}"),
            stacked=True,
        ),
        lines(
            "Open sockets by pod",
            "Are they spread over the pods? After a rollout they may not be, for as long as they last.",
            "none",
            query(total(series("leaderboard_websocket_connections"), "pod"), "{{pod}}"),
        ),
        lines(
            "Evictions",
            "How many clients does the service cut off, and why? Many at once: look at the network of the clients.",
            "none",
            query(total(increase("leaderboard_websocket_evictions_total"), "reason"), "{{reason}}"),
            empty="none",
        ),
    ]


def _database() -> list[Panel]:
    size = "leaderboard_group_commit_size"
    return [
        lines(
            "Change stream lag",
            f"Does the board hear of changes? A pod that has not heard for {slo.MAX_LAG} s is not ready.",
            "s",
            query(join("max", series(slo.LAG), "pod"), "{{pod}}"),
            limit=slo.MAX_LAG,
            width=12,
        ),
        lines(
            "Change stream restarts",
            "Does the stream break, and why? history_lost means an oplog that is too short for the load.",
            "none",
            query(total(increase("leaderboard_change_stream_restarts_total"), "reason"), "{{reason}}"),
            empty="none",
            width=12,
        ),
        lines(
            "Updates in one write",
            "Do updates wait for each other? They share a write when they come faster than MongoDB takes them.",
            "none",
            query(mean(size), "mean"),
            query(quantile(0.99, size), "p99"),
            width=12,
        ),
        lines(
            "Players on the board",
            "Are the ranks whole? All pods should say the same; none at all: the ranks are being read.",
            "none",
            query(join("max", series("leaderboard_ranked_players"), "pod"), "{{pod}}"),
            width=12,
        ),
    ]


def _pods() -> list[Panel]:
    return [
        states(
            "Ready",
            "Which pod is ready, and since when? Two that take turns are probably short of memory.",
            query(f"{join('max', series(slo.LAG), 'pod')} <= bool {slo.MAX_LAG}", "{{pod}}"),
            words={0.0: ("not ready", RED), 1.0: ("ready", GREEN)},
        ),
        lines(
            "Event loop lag",
            "Does something hold a pod's event loop? From 0.1 s on players notice, at every request and message.",
            "s",
            query(join("max", series("leaderboard_event_loop_lag_seconds"), "pod"), "{{pod}}"),
            limit=0.1,
        ),
        lines(
            "CPU",
            "Is a pod out of CPU? One process uses one core at most; near it, add replicas.",
            "percentunit",
            query(total(own(rate("process_cpu_seconds_total"), WITNESS), "pod"), "{{pod}}"),
        ),
        lines(
            "Memory",
            "Is a pod about to be killed for its memory? It should rise with players and sockets, not with time.",
            "bytes",
            query(total(own(series("process_resident_memory_bytes"), WITNESS), "pod"), "{{pod}}"),
        ),
        lines(
            "Open files",
            "Is a pod out of file descriptors? Each socket is one; at 1 nobody gets in.",
            "percentunit",
            query(
                join("max", own(f"{series('process_open_fds')} / {series('process_max_fds')}", WITNESS), "pod"),
                "{{pod}}",
            ),
            limit=0.9,
        ),
        lines(
            "Processes",
            "Do all processes of each pod serve?",
            "none",
            query(total(series("leaderboard_processes"), "pod"), "{{pod}}"),
        ),
        lines(
            "Process restarts",
            "Do processes end and have to be started again?",
            "none",
            query(total(increase("leaderboard_process_restarts_total"), "pod"), "{{pod}}"),
        ),
    ]


def _trust() -> list[Panel]:
    return [
        lines(
            "Suspicious updates",
            "Does somebody try to cheat, and how? Who it is stands in the log, as `suspicious player`.",
            "none",
            query(total(increase("leaderboard_suspicious_total"), "rule"), "{{rule}}"),
        ),
        lines(
            "Points",
            "Do scores rise faster than they should? A step without more updates: some action gives too much.",
            "suffix: points/s",
            query(total(rate("leaderboard_score_points_total"), "face"), "{{face}}"),
            stacked=True,
        ),
        lines(
            "Rank checks",
            "Are the ranks in memory those of the database? `differed` ones are read anew at once.",
            "none",
            query(total(increase("leaderboard_rank_checks_total"), "result"), "{{result}}"),
        ),
        lines(
            "Ledger lag",
            "Is the ledger being written? What it has not got yet cannot be audited or taken back.",
            "s",
            query(join("max", series("leaderboard_ledger_lag_seconds")), "lag"),
        ),
        colour(
            lines(
                "Ledger entries",
                "Is each score vouched for? `foreign` and `reconciled` ones were changed past the service.",
                "none",
                query(total(increase("leaderboard_ledger_entries_total"), "kind"), "{{kind}}"),
            ),
            foreign=RED,
            reconciled=ORANGE,
        ),
        lines(
            "Age of the provider's keys",
            "Does the identity provider answer? Without its new keys new tokens are refused.",
            "s",
            query(join("max", series("leaderboard_jwks_age_seconds"), "pod"), "{{pod}}"),
        ),
    ]
