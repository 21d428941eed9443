"""The lower half of Service: the parts that may affect players."""

from __future__ import annotations

from dashboards import slo
from dashboards.panels import GREEN, ORANGE, RED, Panel, colour, lines, query, states
from dashboards.queries import EACH, events, increase, join, mean, own, quantile, rate, series, total

WITNESS = series("leaderboard_build_info")
MAX_LAG = 5.0
"""Seconds of lag from which on a pod is not ready."""
OVERDUE = 300.0
"""Seconds for which a result is overdue when the alert LeaderboardPeriodNotSealed fires."""


PERIOD = (*EACH, "board", "period")


def boards() -> list[Panel]:
    """Boards and their periods. Each process measures all of them, so that of several values one counts."""
    late = increase("leaderboard_period_late_updates_total")
    return [
        states(
            "Boards file applied",
            "Does each pod serve the boards of its file? If not, the log of the pod says what to correct.",
            query(join("min", series("leaderboard_boards_file_applied"), "pod"), "{{pod}}"),
            words={0.0: ("no", RED), 1.0: ("yes", GREEN)},
            width=12,
            height=8,
        ),
        lines(
            "Players by board",
            "Which boards are played? A number that does not grow has no new players.",
            "none",
            query(join("max", series("leaderboard_ranked_players"), *EACH, "board"), "{{board}}"),
            width=12,
        ),
        lines(
            "Time left in the epoch",
            "When does each period end? After the end it begins again from the next one.",
            "s",
            query(join("min", series("leaderboard_period_remaining_seconds"), *PERIOD), "{{board}} {{period}}"),
        ),
        lines(
            "Results overdue",
            f"Is the result of an epoch overdue, and for how long? An alert fires after {OVERDUE:g} s.",
            "s",
            query(join("max", series("leaderboard_period_unsealed_seconds"), *PERIOD), "{{board}} {{period}}"),
            limit=OVERDUE,
        ),
        lines(
            "Late score updates",
            "Did updates reach an epoch long after its end? There should be none: they may be missing in the result.",
            "none",
            query(join("max", late, *PERIOD), "{{board}} {{period}}"),
            empty="none",
        ),
    ]


def database() -> list[Panel]:
    """MongoDB: writes, change streams, disk."""
    commands = "leaderboard_mongodb_command_duration_seconds"
    size = "leaderboard_batch_write_size"
    return [
        lines(
            "Change stream lag",
            f"Does the board receive changes? A pod that has received none for {MAX_LAG:g} s is not ready.",
            "s",
            query(join("max", series("leaderboard_change_stream_lag_seconds"), "pod"), "{{pod}}"),
            limit=MAX_LAG,
        ),
        lines(
            "Change stream restarts",
            "Does the stream break, and why? history_lost: the oplog is too short for the load.",
            "none",
            query(events("leaderboard_change_stream_restarts_total", "reason"), "{{reason}}"),
            empty="none",
        ),
        lines(
            "Failed commands",
            "Which commands fail or time out?",
            "none",
            query(events("leaderboard_mongodb_command_failures_total", "command"), "{{command}}"),
            empty="none",
        ),
        lines(
            "Time of commands, p99",
            "Which commands are slow? Writes wait for a majority of the members and their disks.",
            "s",
            query(quantile(0.99, commands, "command"), "{{command}}"),
        ),
        lines(
            "Commands",
            "How many commands does MongoDB get?",
            "ops",
            query(total(rate(f"{commands}_count"), "command"), "{{command}}"),
            stacked=True,
        ),
        lines(
            "Updates that wait",
            "Do updates queue for MongoDB? They should wait no longer than one write takes.",
            "none",
            query(total(series("leaderboard_pending_writes"), "pod"), "{{pod}}"),
        ),
        lines(
            "Updates in one write",
            "Do updates wait for each other? They share a batch write when they arrive faster than MongoDB writes.",
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
            "How much is free, and of how much? On a full disk every update fails. Only if MongoDB reports it.",
            "bytes",
            query(join("min", series("leaderboard_database_disk_bytes"), "state"), "{{state}}"),
            width=12,
        ),
        lines(
            "Players on each board",
            "Are the ranks complete? All pods should agree; no value: the ranks are being read.",
            "none",
            query(join("max", series("leaderboard_ranked_players"), "pod", "board"), "{{board}} {{pod}}"),
            width=12,
        ),
    ]


def pods() -> list[Panel]:
    """Each pod, next to the others."""
    return [
        states(
            "Ready",
            "Which pod is ready, and since when? Two that take turns are probably short of memory.",
            query(join("min", series("leaderboard_ready"), "pod"), "{{pod}}"),
            words={0.0: ("not ready", RED), 1.0: ("ready", GREEN)},
        ),
        lines(
            "Event loop lag",
            "Is a pod's event loop blocked? From 0.1 s on, every request and message is noticeably late.",
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
            "Is a pod out of file descriptors? Each socket is one; at 1 new connections fail.",
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
            "Do processes exit and restart?",
            "none",
            query(total(increase("leaderboard_process_restarts_total"), "pod"), "{{pod}}"),
        ),
    ]


def _of_a_pod(resource: str, kind: str) -> str:
    """The resources of a pod: the smallest of the selected Leaderboards."""
    asked = series("leaderboard_operator_pod_resources", f'resource="{resource}"', f'kind="{kind}"')
    return f"min({asked})"


def trust() -> list[Panel]:
    """Abuse, and the verification of scores."""
    return [
        lines(
            "Suspicious updates",
            "Do players try to cheat, and how? The log names them, as `suspicious player`.",
            "none",
            query(total(increase("leaderboard_abuse_reports_total"), "rule"), "{{rule}}"),
        ),
        lines(
            "Points",
            "Do scores rise too fast? A step without more updates: an action gives too many points.",
            "suffix: points/s",
            query(total(rate("leaderboard_score_points_total"), "frontend"), "{{frontend}}"),
            stacked=True,
        ),
        lines(
            "Rank checks",
            "Do the ranks in memory agree with the database? If they `differed`, they are read again at once.",
            "none",
            query(total(increase("leaderboard_rank_checks_total"), "result"), "{{result}}"),
        ),
        lines(
            "Ledger lag",
            "Is the ledger being written? Missing entries cannot be audited or taken back.",
            "s",
            query(join("max", series("leaderboard_ledger_lag_seconds")), "lag"),
        ),
        colour(
            lines(
                "Ledger entries",
                "Is each score verified? `external`: not by the service; `reconciled`: missed by the change stream.",
                "none",
                query(total(increase("leaderboard_ledger_entries_total"), "kind"), "{{kind}}"),
            ),
            external=RED,
            reconciled=ORANGE,
        ),
        lines(
            "Age of the provider's keys",
            "Does the identity provider answer? Without its new keys, tokens signed with them are refused.",
            "s",
            query(join("max", series("leaderboard_jwks_age_seconds"), "pod"), "{{pod}}"),
        ),
    ]
