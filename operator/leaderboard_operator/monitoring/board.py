"""Alerts about one Leaderboard, from what its own pods measure."""

from __future__ import annotations

from leaderboard_operator.monitoring.objectives import slo_groups
from leaderboard_operator.monitoring.rules import BY, NAME, Alert, Comparison, Group, Recording, Scope, Severity
from leaderboard_operator.spec.runtime import Slo

FILLING_DAYS = 4
"""A weekend, and two days to act."""

ROOMY = 0.4
"""The share of a disk that must be free for its growth to be no news."""


def board_groups(slo: Slo, scope: Scope) -> tuple[Group, ...]:
    """All groups."""
    mean = [_mean(scope, window) for window in ("10m", "1d")]
    return (
        *slo_groups(slo, scope),
        Group("leaderboard", (*mean, *_serving(scope), *_fair_play(scope), *_keeping(scope))),
    )


def _sum(scope: Scope, series: tuple[str, ...], function: str, window: str, by: str = BY) -> str:
    return f"sum {by} ({function}({scope.series(*series)}[{window}]))"


def _mean(scope: Scope, window: str) -> Recording:
    """Points of an update."""
    points = _sum(scope, ("leaderboard_score_points_total",), "rate", window)
    updates = _sum(scope, ("leaderboard_score_submissions_total", 'result="accepted"'), "rate", window)
    return Recording(f"leaderboard:score_points:mean{window}", f"{points}\n/ {updates}")


def _serving(scope: Scope) -> tuple[Alert, ...]:
    lag = scope.series("leaderboard_change_stream_lag_seconds")
    return (
        Alert(
            name="LeaderboardUnavailable",  # as the operator's view of it (fleet.py): both together are one alert
            when=(Comparison(f"max {BY} ({scope.series('leaderboard_ready')})", "== 0"),),
            hold="3m",
            severity="page",
            summary=f"{NAME}: nothing serves",
            description=(
                "For 3 minutes every pod that Prometheus scrapes has reported that it must get no traffic. The "
                "readiness of a pod follows its database."
            ),
        ),
        Alert(
            name="LeaderboardFeedStale",
            when=(Comparison(f"max {BY} ({lag})", "> 10"),),
            hold="1m",
            severity="page",
            summary=f"{NAME}: the live board stands still",
            description=(
                "The change stream of at least one pod has given no sign of life for {{ $value | humanizeDuration }}. "
                "Who watches through that pod sees an old board."
            ),
        ),
        *_restarting(scope),
        *_sockets(scope),
        _proxy(scope),
    )


def _proxy(scope: Scope) -> Alert:
    """Most requests, not any: a single client may make the header up. Probes come by no proxy."""
    ignored = _sum(scope, ("leaderboard_forwarded_ignored_total",), "rate", "15m")
    requests = _sum(scope, ("leaderboard_http_requests_total", 'route!~"/healthz|/readyz"'), "rate", "15m")
    return Alert(
        name="LeaderboardProxyNotTrusted",
        when=(Comparison(f"{ignored}\n/ {requests}", "> 0.5"),),
        hold="15m",
        severity="ticket",
        summary=f"{NAME}: its proxy is not trusted, all clients share one address",
        description=(
            "{{ $value | humanizePercentage }} of the requests come through a proxy that trustedProxies does not name. "
            "Limits for one address then hold for all clients together, and logs name the proxy."
        ),
    )


def _restarting(scope: Scope) -> tuple[Alert, ...]:
    """A page where half of the pods restart; one of many is a ticket, since the others serve."""
    started = scope.series("process_start_time_seconds", 'leaderboard!=""')  # every other program has one too
    restarts = f"sum {BY} (changes({started}[15m]))"
    share = f"sum {BY} (changes({started}[15m]) > bool 0)\n/ count {BY} ({started})"
    found = []
    severity: Severity
    for severity, part in (("page", ">= 0.5"), ("ticket", "< 0.5")):
        alert = Alert(
            name="LeaderboardRestarting",
            when=(Comparison(restarts, ">= 3"), Comparison(share, part)),
            severity=severity,
            summary=f"{NAME}: its processes restart",
            description=(
                "{{ $value | humanize }} times in the last 15 minutes. Each time sockets are lost and requests fail "
                "that no metric counts."
            ),
        )
        found.append(alert)
    return tuple(found)


def _sockets(scope: Scope) -> tuple[Alert, ...]:
    """By pod, since a client cannot choose another: the fullest one turns clients away first."""
    used = f"sum without (frontend) ({scope.series('leaderboard_websocket_connections')})"
    fullest = f"max {BY} (\n  {used}\n  / {scope.series('leaderboard_websocket_connections_limit')}\n)"
    name, summary = "LeaderboardSocketsNearLimit", f"{NAME}: sockets are near their limit"
    text = "The fullest pod has {{ $value | humanizePercentage }} of the sockets that it may have. "
    return (
        Alert(
            name=name,
            when=(Comparison(fullest, ">= 0.99"),),
            hold="2m",
            severity="page",
            summary=summary,
            description=f"{text}Players who connect to it are turned away.",
        ),
        Alert(
            name=name,
            when=(Comparison(fullest, "> 0.85"),),
            hold="10m",
            severity="ticket",
            summary=summary,
            description=f"{text}At 100% it turns players away.",
        ),
    )


def _fair_play(scope: Scope) -> tuple[Alert, ...]:
    """Points per update, not points: more players are no cheating, dearer updates may be."""
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
            summary=f"{NAME}: scores were changed behind the service's back",
            description=(
                "The ledger holds {{ $value | humanize }} changes of the last hour that the service did not make: "
                "somebody writes to its database."
            ),
        ),
    )


def _keeping(scope: Scope) -> tuple[Alert, ...]:
    refreshes = "leaderboard_jwks_refreshes_total"
    free, total = (scope.series("leaderboard_database_disk_bytes", f'state="{each}"') for each in ("free", "total"))
    differed = _sum(scope, ("leaderboard_rank_checks_total", 'result="differed"'), "increase", "1h")
    return (
        Alert(
            name="LeaderboardLedgerBehind",
            when=(Comparison(f"max {BY} ({scope.series('leaderboard_ledger_lag_seconds')})", "> 60"),),
            hold="5m",
            severity="ticket",
            summary=f"{NAME}: the ledger is behind the scores",
            description=(
                "For {{ $value | humanizeDuration }} there have been updates that the ledger does not hold. Scores "
                "are right; histories, take-backs and the audit wait."
            ),
        ),
        Alert(
            name="LeaderboardDatabaseDiskFilling",
            when=(
                Comparison(f"min {BY} (predict_linear({free}[6h], {FILLING_DAYS} * 86400))", "< 0"),
                Comparison(f"min {BY} ({free})\n/ min {BY} ({total})", f"< {ROOMY}"),
            ),
            hold="1h",
            severity="ticket",
            summary=f"{NAME}: the disk of its database will be full within {FILLING_DAYS} days",
            description=(
                f"At the rate of the last 6 hours. Less than {ROOMY:.0%} of the disk is free. The ledger grows with "
                "each update; when the disk is full, every update fails."
            ),
        ),
        Alert(
            name="LeaderboardRanksDiffer",
            when=(Comparison(differed, ">= 3"),),
            severity="ticket",
            summary=f"{NAME}: ranks in memory were wrong more than once",
            description=(
                "In the last hour {{ $value | humanize }} checks found ranks in memory that are not the database's. "
                "Each time they were read anew."
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
                "{{ $value | humanize }} fetches of the last 15 minutes failed, and none succeeded. Tokens are "
                "checked with the keys that are known; pods that start now know none."
            ),
        ),
    )
