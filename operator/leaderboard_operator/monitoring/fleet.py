"""Alerts about all Leaderboards, and about the operator itself, from what the operator measures."""

from __future__ import annotations

from leaderboard_operator.monitoring.rules import BY, NAME, Alert, Comparison, Group, Severity

LEADER = 'leader_election_master_status{name="leaderboard"}'

UNATTENDED = (
    "Leaderboards serve on as they are; nothing is created or repaired, and no autoscaler's request is carried out."
)


def fleet_groups() -> tuple[Group, ...]:
    """All groups."""
    return Group("leaderboard-fleet", _fleet()), Group("leaderboard-operator", _operator())


def _is(condition: str) -> str:
    return f'max {BY} (leaderboard_operator_condition{{condition="{condition}",status="True"}})'


def _replicas(state: str) -> str:
    return f'max {BY} (leaderboard_operator_replicas{{state="{state}"}})'


WANTED = Comparison(_replicas("desired"), "> 0")
"""A Leaderboard that is scaled to nothing is as it should be."""


def _fleet() -> tuple[Alert, ...]:
    return (
        Alert(
            name="LeaderboardUnavailable",
            when=(Comparison(_is("Available"), "== 0"), WANTED),
            hold="3m",
            severity="page",
            summary=f"{NAME}: nothing serves",
            description="Pods are asked for, and none takes requests. The condition Ready says why.",
        ),
        Alert(
            name="LeaderboardNotReady",
            when=(Comparison(_is("Ready"), "== 0"), WANTED),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: not as asked for",
            description=(
                "For 15 minutes something has kept it from what its spec asks for; it may serve all the same. "
                "The condition Ready says what."
            ),
        ),
        Alert(
            name="LeaderboardDegraded",
            when=(Comparison(_is("Degraded"), "== 1"), Comparison(_is("Ready"), "== 1")),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: serves, but something is wrong",
            description="For 15 minutes its condition Degraded has been true. Its reason and message say why.",
        ),
        Alert(
            name="LeaderboardAutoscalerInactive",
            when=(Comparison(f"max {BY} (leaderboard_operator_autoscaler_active)", "== 0"), WANTED),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: the autoscaler cannot compute a number of pods",
            description=(
                "For 15 minutes its HorizontalPodAutoscaler has been inactive: the pods stay as many as they are, "
                "whatever the load."
            ),
        ),
        Alert(
            name="LeaderboardAutoscalerAtLimit",
            when=(Comparison(f"{_replicas('desired')}\n- max {BY} (leaderboard_operator_max_replicas)", ">= 0"),),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: the autoscaler is at its limit",
            description="It has asked for spec.autoscaling.maxReplicas pods for 15 minutes, and would not for less.",
        ),
        Alert(
            name="LeaderboardNotScraped",
            when=(Comparison(f"({_replicas('ready')}\nunless max {BY} (leaderboard_build_info))", "> 0"),),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: Prometheus has no metrics of it",
            dashboard="fleet",
            description="{{ $value }} pods take requests, and Prometheus scrapes none: no other alert can see them.",
        ),
    )


AUTOSCALED = Comparison("count(last_over_time(leaderboard_operator_max_replicas[3h]))", "> 0", unlabelled=True)
"""Some Leaderboard has an autoscaler, or had one when the operator was last scraped."""

LONG = "45m"
"""After which an operator that does not work hurts players: an autoscaler's request was not carried out meanwhile."""


def _operator() -> tuple[Alert, ...]:
    errors = 'sum by (namespace) (increase(controller_runtime_reconcile_errors_total{controller="leaderboard"}[10m]))'
    return (
        *_unattended(
            "LeaderboardOperatorAbsent",
            Comparison(f"absent({LEADER})"),
            hold="5m",
            summary="The operator of Leaderboards is absent",
            description="Prometheus has scraped no operator.",
        ),
        *_unattended(
            "LeaderboardOperatorLeaderless",
            Comparison(f"sum by (namespace) ({LEADER})", "== 0"),
            hold="5m",
            summary="No operator of Leaderboards leads",
            description="Operators run, and none of them holds the Lease.",
        ),
        *_unattended(
            "LeaderboardOperatorBlind",
            Comparison("max by (namespace) (max_over_time(leaderboard_operator_watch_age_seconds[10m]))", "> 120"),
            hold="",
            summary="The operator of Leaderboards does not see changes",
            description=(
                "Within the last 10 minutes its watch was {{ $value | humanizeDuration }} out of step with the API "
                "server; at 180 s its probe restarts it."
            ),
        ),
        Alert(
            name="LeaderboardReconcileErrors",
            when=(Comparison(errors, "> 0"),),
            hold="20m",
            severity="ticket",
            dashboard="operator",
            summary="The operator of Leaderboards fails to reconcile",
            description=(
                "{{ $value | humanize }} reconciles of the last 10 minutes ended with an error, and there were errors "
                "in all of the last 20 minutes. The Leaderboards concerned stay as they are."
            ),
        ),
    )


def _unattended(name: str, when: Comparison, *, hold: str, summary: str, description: str) -> tuple[Alert, ...]:
    """A ticket, since boards serve on; a page once an autoscaler's requests have been left undone for long."""
    more: dict[Severity, tuple[tuple[Comparison, ...], str]] = {"ticket": ((), hold), "page": ((AUTOSCALED,), LONG)}
    return tuple(
        Alert(
            name=name,
            when=(when, *others),
            hold=held,
            severity=severity,
            dashboard="operator",
            summary=summary,
            description=f"{description} {UNATTENDED}",
        )
        for severity, (others, held) in more.items()
    )
