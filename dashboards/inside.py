"""The lower half of Service: the parts that may be what hurts players."""

from __future__ import annotations

from dashboards import slo
from dashboards.panels import GREEN, ORANGE, RED, Panel, colour, lines, query, states
from dashboards.queries import EACH, events, increase, join, mean, own, quantile, rate, series, total

WITNESS = series("leaderboard_build_info")
MAX_LAG = 5.0
"""Seconds of lag from which on a pod is not ready."""


def database() -> list[Panel]:
    """Where scores are kept, and changes come from."""
    commands = "leaderboard_mongodb_command_duration_seconds"
    size = "leaderboard_batch_write_size"
    return [
        lines(
            "Change stream lag",
            f"Does the board hear of changes? A pod that has not heard for {MAX_LAG:g} s is not ready.",
            "s",
            query(join("max", series("leaderboard_change_stream_lag_seconds"), "pod"), "{{pod}}"),
            limit=MAX_LAG,
        ),
        lines(
            "Change stream restarts",
            "Does the stream break, and why? history_lost means an oplog that is too short for the load.",
            "none",
            query(events("leaderboard_change_stream_restarts_total", "reason"), "{{reason}}"),
            empty="none",
        ),
        lines(
            "Failed commands",
            "Which commands fail, or are not answered in time? findAndModify does where an update is refused, too.",
            "none",
            query(events("leaderboard_mongodb_command_failures_total", "command"), "{{command}}"),
            empty="none",
        ),
        lines(
            "Time of commands, p99",
            "Is MongoDB slow, and at what? Writes wait for a majority of its members and their disks.",
            "s",
            query(quantile(0.99, commands, "command"), "{{command}}"),
        ),
        lines(
            "Commands",
            "How much is MongoDB asked?",
            "ops",
            query(total(rate(f"{commands}_count"), "command"), "{{command}}"),
            stacked=True,
        ),
        lines(
            "Updates that wait",
            "Do updates pile up before MongoDB? They should wait no longer than one write takes.",
            "none",
            query(total(series("leaderboard_pending_writes"), "pod"), "{{pod}}"),
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
            "Size of collections",
            "What grows on the disk of the database? The ledger does, with each accepted update.",
            "bytes",
            query(join("max", series("leaderboard_collection_bytes"), "collection"), "{{collection}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "Disk of the database",
            "How much is free, of how much? Full, every update fails. Where MongoDB reports it.",
            "bytes",
            query(join("min", series("leaderboard_database_disk_bytes"), "state"), "{{state}}"),
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


def pods() -> list[Panel]:
    """Each pod, beside the others."""
    return [
        states(
            "Ready",
            "Which pod is ready, and since when? Two that take turns are probably short of memory.",
            query(join("min", series("leaderboard_ready"), "pod"), "{{pod}}"),
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
            query(_of_a_pod("cpu", "request"), "request"),
        ),
        lines(
            "Memory",
            "Is a pod about to be killed for its memory? It should rise with players and sockets, not with time.",
            "bytes",
            query(total(own(series("process_resident_memory_bytes"), WITNESS), "pod"), "{{pod}}"),
            query(_of_a_pod("memory", "limit"), "limit"),
        ),
        lines(
            "Number of pods",
            "Are there as many as desired, and is the autoscaler at one of its limits?",
            "none",
            *(
                query(total(series("leaderboard_operator_replicas", f'state="{state}"')), state)
                for state in ("desired", "ready")
            ),
            query(total(series("leaderboard_operator_min_replicas")), "minimum"),
            query(total(series("leaderboard_operator_max_replicas")), "maximum"),
            width=12,
        ),
        states(
            "Autoscaler",
            "Does the autoscaler work? `kubectl describe hpa` says why it does not.",
            query(join("max", series("leaderboard_operator_autoscaler_active"), *EACH), slo.NAME),
            words={0.0: ("computes no number", RED), 1.0: ("works", GREEN)},
            width=12,
            height=8,
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


def _of_a_pod(resource: str, kind: str) -> str:
    """What the resource gives a pod: the least of those of the Leaderboards chosen."""
    asked = series("leaderboard_operator_pod_resources", f'resource="{resource}"', f'kind="{kind}"')
    return f"min({asked})"


def trust() -> list[Panel]:
    """What players try, and what vouches for their scores."""
    return [
        lines(
            "Suspicious updates",
            "Does somebody try to cheat, and how? Who it is stands in the log, as `suspicious player`.",
            "none",
            query(total(increase("leaderboard_abuse_reports_total"), "rule"), "{{rule}}"),
        ),
        lines(
            "Points",
            "Do scores rise faster than they should? A step without more updates: some action gives too much.",
            "suffix: points/s",
            query(total(rate("leaderboard_score_points_total"), "frontend"), "{{frontend}}"),
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
                "Is each score vouched for? `external` and `reconciled` ones were changed past the service.",
                "none",
                query(total(increase("leaderboard_ledger_entries_total"), "kind"), "{{kind}}"),
            ),
            external=RED,
            reconciled=ORANGE,
        ),
        lines(
            "Age of the provider's keys",
            "Does the identity provider answer? Without its new keys new tokens are refused.",
            "s",
            query(join("max", series("leaderboard_jwks_age_seconds"), "pod"), "{{pod}}"),
        ),
    ]
