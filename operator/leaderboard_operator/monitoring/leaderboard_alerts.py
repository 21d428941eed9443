"""Alerts about one Leaderboard, from the metrics of its pods."""

from __future__ import annotations

from leaderboard_operator.monitoring.objectives import slo_groups
from leaderboard_operator.monitoring.rule_types import (
    BY,
    NAME,
    Alert,
    Comparison,
    Group,
    Recording,
    Routing,
    Scope,
    Severity,
    rules_file,
)
from leaderboard_operator.spec.operations import Slo

DISK_FULL_DAYS = 4
"""A weekend, and two days to act."""

DISK_FREE_RATIO = 0.4
"""If this share of a disk is free, its growth causes no alert."""


def leaderboard_groups(slo: Slo, scope: Scope) -> tuple[Group, ...]:
    means = [_mean(scope, window) for window in ("10m", "1d")]
    return (
        *slo_groups(slo, scope),
        Group(
            "leaderboard",
            (*means, *_serving(scope), *_periods(scope), *_fair_play(scope), *_storage_and_keys(scope)),
        ),
    )


def leaderboard_rules_file(routing: Routing) -> str:
    """The rule file for all Leaderboards at once, with the default objectives."""
    return rules_file("leaderboard-operator rules", leaderboard_groups(Slo(), Scope()), routing)


def _sum(scope: Scope, series: tuple[str, ...], function: str, window: str, by: str = BY) -> str:
    return f"sum {by} ({function}({scope.series(*series)}[{window}]))"


def _mean(scope: Scope, window: str) -> Recording:
    """Average points of an update."""
    points = _sum(scope, ("leaderboard_score_points_total",), "rate", window)
    updates = _sum(scope, ("leaderboard_score_submissions_total", 'result="accepted"'), "rate", window)
    return Recording(f"leaderboard:score_points:mean{window}", f"{points}\n/ {updates}")


def _serving(scope: Scope) -> tuple[Alert, ...]:
    lag = scope.series("leaderboard_change_stream_lag_seconds")
    return (
        Alert(
            name="LeaderboardUnavailable",  # the same name as in fleet_alerts.py: both together are one alert
            when=(Comparison(f"max {BY} ({scope.series('leaderboard_ready')})", "== 0"),),
            hold="3m",
            severity="page",
            summary=f"{NAME}: no pod serves",
            description=(
                "For 3 minutes no pod that Prometheus scrapes has been ready. A pod is not ready if its database does "
                "not answer."
            ),
        ),
        Alert(
            name="LeaderboardFeedStale",
            when=(Comparison(f"max {BY} ({lag})", "> 10"),),
            hold="1m",
            severity="page",
            summary=f"{NAME}: the live board is not updated",
            description=(
                "The change stream of at least one pod has delivered nothing for {{ $value | humanizeDuration }}. The "
                "clients of that pod see an old board."
            ),
        ),
        Alert(
            name="LeaderboardBoardsNotApplied",
            when=(Comparison(f"min {BY} ({scope.series('leaderboard_boards_file_applied')})", "== 0"),),
            hold="10m",
            severity="ticket",
            summary=f"{NAME}: a change of its boards is not in effect",
            description=(
                "For 10 minutes at least one pod has not applied the last change of its boards. It serves the boards "
                "that it had; a pod that starts now may fail."
            ),
        ),
        *_restarting(scope),
        *_sockets(scope),
        _proxy(scope),
    )


def _proxy(scope: Scope) -> Alert:
    """Counts the majority of requests, because one client may forge the header. Probes use no proxy."""
    ignored = _sum(scope, ("leaderboard_forwarded_ignored_total",), "rate", "15m")
    requests = _sum(scope, ("leaderboard_http_requests_total", 'route!~"/healthz|/readyz"'), "rate", "15m")
    return Alert(
        name="LeaderboardProxyNotTrusted",
        when=(Comparison(f"{ignored}\n/ {requests}", "> 0.5"),),
        hold="15m",
        severity="ticket",
        summary=f"{NAME}: the proxy is not trusted, all clients share one address",
        description=(
            "{{ $value | humanizePercentage }} of the requests come through a proxy that trustedProxies does not name. "
            "Limits per address then apply to all clients together, and logs contain the address of the proxy."
        ),
    )


def _restarting(scope: Scope) -> tuple[Alert, ...]:
    """A page if half of the pods restart; otherwise a ticket, because the other pods serve."""
    started = scope.series("process_start_time_seconds", 'leaderboard!=""')  # other programs have this metric too
    restarts = f"sum {BY} (changes({started}[15m]))"
    share = f"sum {BY} (changes({started}[15m]) > bool 0)\n/ count {BY} ({started})"
    alerts = []
    severity: Severity
    for severity, part in (("page", ">= 0.5"), ("ticket", "< 0.5")):
        alert = Alert(
            name="LeaderboardRestarting",
            when=(Comparison(restarts, ">= 3"), Comparison(share, part)),
            severity=severity,
            summary=f"{NAME}: processes restart",
            description=(
                "Processes restarted {{ $value | humanize }} times in the last 15 minutes. Each restart closes "
                "sockets, and requests fail without being counted."
            ),
        )
        alerts.append(alert)
    return tuple(alerts)


def _sockets(scope: Scope) -> tuple[Alert, ...]:
    """For the pod with the most sockets: a client cannot choose another pod."""
    used = f"sum without (frontend) ({scope.series('leaderboard_websocket_connections')})"
    fullest = f"max {BY} (\n  {used}\n  / {scope.series('leaderboard_websocket_connections_limit')}\n)"
    name, summary = "LeaderboardSocketsNearLimit", f"{NAME}: the number of sockets is near its limit"
    text = "The fullest pod has {{ $value | humanizePercentage }} of its maximum number of sockets. "
    return (
        Alert(
            name=name,
            when=(Comparison(fullest, ">= 0.99"),),
            hold="2m",
            severity="page",
            summary=summary,
            description=f"{text}It refuses new connections of players.",
        ),
        Alert(
            name=name,
            when=(Comparison(fullest, "> 0.85"),),
            hold="10m",
            severity="ticket",
            summary=summary,
            description=f"{text}At 100% it refuses new connections of players.",
        ),
    )


def _periods(scope: Scope) -> tuple[Alert, ...]:
    """By the maximum of the pods, because each process measures all periods and counts all late updates."""
    by = "by (namespace, leaderboard, board, period)"
    late = scope.series("leaderboard_period_late_updates_total")
    which = f"{NAME}: period {{{{ $labels.period }}}} of board {{{{ $labels.board }}}}"
    return (
        Alert(
            name="LeaderboardPeriodNotSealed",
            when=(Comparison(f"max {by} ({scope.series('leaderboard_period_unsealed_seconds')})", "> 300"),),
            hold="2m",
            severity="ticket",
            summary=f"{which} has no result",
            description=(
                "The result of an epoch that is over has been due for {{ $value | humanizeDuration }}. Scores count in "
                "the epoch that is open; players cannot read the result."
            ),
        ),
        Alert(
            name="LeaderboardLateUpdates",
            when=(Comparison(f"max {by} (increase({late}[1h]))", "> 0"),),
            severity="ticket",
            summary=f"{which} got score updates after an epoch had ended",
            description=(
                "In the last hour the database made score updates in an epoch more than 10 seconds after its end. The "
                "result of the epoch may lack them."
            ),
        ),
    )


def _fair_play(scope: Scope) -> tuple[Alert, ...]:
    """Compares points per update, because the total also grows with the number of players."""
    updates = ("leaderboard_score_submissions_total", 'result="accepted"')
    per_day = scope.series("leaderboard:score_points:mean1d")
    suspicious = _sum(
        scope, ("leaderboard_abuse_reports_total",), "increase", "15m", "by (namespace, leaderboard, rule)"
    )
    external = _sum(scope, ("leaderboard_ledger_entries_total", 'kind="external"'), "increase", "1h")
    return (
        Alert(
            name="LeaderboardScoreSpike",
            when=(
                Comparison(scope.series("leaderboard:score_points:mean10m"), f"> 5 * {per_day}"),
                Comparison(_sum(scope, updates, "increase", "10m"), ">= 20"),
            ),
            hold="5m",
            severity="ticket",
            summary=f"{NAME}: updates are worth far more than usual",
            description=(
                "An accepted update of the last 10 minutes gave {{ $value | humanize }} points on average, more than "
                "five times the average of the last day."
            ),
        ),
        Alert(
            name="LeaderboardSuspiciousPlayers",
            when=(Comparison(suspicious, ">= 5"),),
            severity="ticket",
            summary=f"{NAME}: players break the rule {{{{ $labels.rule }}}}",
            description="The rule was broken {{ $value | humanize }} times in the last 15 minutes.",
        ),
        Alert(
            name="LeaderboardExternalChanges",
            when=(Comparison(external, "> 0"),),
            severity="page",
            summary=f"{NAME}: scores were changed outside the service",
            description=(
                "The ledger has {{ $value | humanize }} changes of the last hour that the service did not make: "
                "another program writes to its database."
            ),
        ),
    )


def _storage_and_keys(scope: Scope) -> tuple[Alert, ...]:
    refreshes = "leaderboard_jwks_refreshes_total"
    free, total = (scope.series("leaderboard_database_disk_bytes", f'state="{state}"') for state in ("free", "total"))
    differed = _sum(scope, ("leaderboard_rank_checks_total", 'result="differed"'), "increase", "1h")
    return (
        Alert(
            name="LeaderboardLedgerBehind",
            when=(Comparison(f"max {BY} ({scope.series('leaderboard_ledger_lag_seconds')})", "> 60"),),
            hold="5m",
            severity="ticket",
            summary=f"{NAME}: the ledger is behind the scores",
            description=(
                "For {{ $value | humanizeDuration }} the ledger has lacked updates. Scores are correct; histories, "
                "reversals and the audit are behind."
            ),
        ),
        Alert(
            name="LeaderboardDatabaseDiskFilling",
            when=(
                Comparison(f"min {BY} (predict_linear({free}[6h], {DISK_FULL_DAYS} * 86400))", "< 0"),
                Comparison(f"min {BY} ({free})\n/ min {BY} ({total})", f"< {DISK_FREE_RATIO}"),
            ),
            hold="1h",
            severity="ticket",
            summary=f"{NAME}: the disk of its database will be full within {DISK_FULL_DAYS} days",
            description=(
                f"This assumes the growth of the last 6 hours. Less than {DISK_FREE_RATIO:.0%} of the disk is free. "
                "The ledger grows with each update. When the disk is full, all updates fail."
            ),
        ),
        Alert(
            name="LeaderboardRanksDiffer",
            when=(Comparison(differed, ">= 3"),),
            severity="ticket",
            summary=f"{NAME}: ranks in memory were wrong more than once",
            description=(
                "In the last hour {{ $value | humanize }} checks found ranks in memory that differ from the database. "
                "Each time the pod read them again."
            ),
        ),
        Alert(
            name="LeaderboardKeysStale",
            when=(
                Comparison(_sum(scope, (refreshes, 'result="failed"'), "increase", "15m"), "> 0"),
                Comparison(_sum(scope, (refreshes, 'result!="failed"'), "increase", "15m"), "== 0"),
            ),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: the identity provider's keys cannot be fetched",
            description=(
                "{{ $value | humanize }} fetches of the last 15 minutes failed, and none succeeded. Pods use the "
                "previous keys; a pod that starts now has none."
            ),
        ),
    )
