"""Alerts about all Leaderboards, and about the operator itself, from what the operator measures."""

from __future__ import annotations

from leaderboard_operator.monitoring.rules import BY, NAME, Alert, Comparison, Group

LEADER = 'leader_election_master_status{name="leaderboard"}'

UNATTENDED = "Leaderboards serve on as they are; nothing is made or mended, and no autoscaler's wish is carried out."


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
            description="{{ $value }} pods take requests, and Prometheus scrapes none: no other alert can see them.",
        ),
    )


def _operator() -> tuple[Alert, ...]:
    return (
        Alert(
            name="LeaderboardOperatorAbsent",
            when=(Comparison(f"absent({LEADER})"),),
            hold="5m",
            severity="page",
            summary="The operator of Leaderboards is gone",
            description=f"Prometheus has scraped no operator for 5 minutes. {UNATTENDED}",
        ),
        Alert(
            name="LeaderboardOperatorLeaderless",
            when=(Comparison(f"sum by (namespace) ({LEADER})", "== 0"),),
            hold="5m",
            severity="page",
            summary="No operator of Leaderboards leads",
            description=f"Operators run, and for 5 minutes none has held the lease. {UNATTENDED}",
        ),
        Alert(
            name="LeaderboardOperatorBlind",
            when=(
                Comparison("max by (namespace) (max_over_time(leaderboard_operator_watch_age_seconds[10m]))", "> 120"),
            ),
            severity="page",
            summary="The operator of Leaderboards does not hear of changes",
            description=(
                "Within the last 10 minutes its watch was {{ $value | humanizeDuration }} out of step with the API "
                f"server; at 180 s its probe has it started anew. {UNATTENDED}"
            ),
        ),
    )
