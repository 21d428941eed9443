"""Alerts about all Leaderboards and about the operator, from the metrics of the operator."""

from __future__ import annotations

from leaderboard_operator.monitoring.rule_types import BY, NAME, Alert, Comparison, Group, Routing, Severity, rules_file

LEADER = 'leader_election_master_status{name="leaderboard"}'

OPERATOR_DOWN = (
    "Leaderboards keep serving. The operator creates and repairs nothing, and applies no request of an autoscaler."
)


def fleet_groups() -> tuple[Group, ...]:
    return Group("leaderboard-fleet", _fleet()), Group("leaderboard-operator", _operator())


def fleet_rules_file(routing: Routing) -> str:
    """The rule file about all Leaderboards and the operator."""
    return rules_file("leaderboard-operator rules --fleet", fleet_groups(), routing)


def _condition(condition: str) -> str:
    return f'max {BY} (leaderboard_operator_condition{{condition="{condition}",status="True"}})'


def _replicas(state: str) -> str:
    return f'max {BY} (leaderboard_operator_replicas{{state="{state}"}})'


NOT_SCALED_TO_ZERO = Comparison(_replicas("desired"), "> 0")


def _fleet() -> tuple[Alert, ...]:
    return (
        Alert(
            name="LeaderboardUnavailable",
            when=(Comparison(_condition("Available"), "== 0"), NOT_SCALED_TO_ZERO),
            hold="3m",
            severity="page",
            summary=f"{NAME}: no pod serves",
            description="The spec requests pods, and none accepts requests. The condition Ready has the reason.",
        ),
        Alert(
            name="LeaderboardNotReady",
            when=(Comparison(_condition("Ready"), "== 0"), NOT_SCALED_TO_ZERO),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: differs from its spec",
            description=(
                "For 15 minutes a problem has kept it from the state that its spec requests. It may still serve. The "
                "condition Ready has the reason."
            ),
        ),
        Alert(
            name="LeaderboardDegraded",
            when=(Comparison(_condition("Degraded"), "== 1"), Comparison(_condition("Ready"), "== 1")),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: serves, but has a problem",
            description="For 15 minutes its condition Degraded has been true. The condition has the reason.",
        ),
        Alert(
            name="LeaderboardAutoscalerInactive",
            when=(Comparison(f"max {BY} (leaderboard_operator_autoscaler_active)", "== 0"), NOT_SCALED_TO_ZERO),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: the autoscaler cannot compute a number of pods",
            description=(
                "For 15 minutes its HorizontalPodAutoscaler has been inactive: the number of pods does not follow the "
                "load."
            ),
        ),
        Alert(
            name="LeaderboardAutoscalerAtLimit",
            when=(Comparison(f"{_replicas('desired')}\n- max {BY} (leaderboard_operator_max_replicas)", ">= 0"),),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: the autoscaler is at its limit",
            description="For 15 minutes it has requested spec.autoscaling.maxReplicas pods, and may need more.",
        ),
        Alert(
            name="LeaderboardNotScraped",
            when=(Comparison(f"({_replicas('ready')}\nunless max {BY} (leaderboard_build_info))", "> 0"),),
            hold="15m",
            severity="ticket",
            summary=f"{NAME}: Prometheus has no metrics",
            dashboard="fleet",
            description="{{ $value }} pods accept requests, and Prometheus scrapes none: no other alert covers them.",
        ),
    )


AUTOSCALED = Comparison("count(last_over_time(leaderboard_operator_max_replicas[3h]))", "> 0", unlabelled=True)
"""At least one Leaderboard has an autoscaler, or had one in the last scrape of the operator."""

PAGE_DELAY = "45m"
"""After this time a missing operator may affect players: it has applied no request of an autoscaler."""


def _operator() -> tuple[Alert, ...]:
    errors = 'sum by (namespace) (increase(controller_runtime_reconcile_errors_total{controller="leaderboard"}[10m]))'
    return (
        *_operator_down(
            "LeaderboardOperatorAbsent",
            Comparison(f"absent({LEADER})"),
            hold="5m",
            summary="The operator of Leaderboards is absent",
            description="Prometheus scrapes no operator.",
        ),
        *_operator_down(
            "LeaderboardOperatorLeaderless",
            Comparison(f"sum by (namespace) ({LEADER})", "== 0"),
            hold="5m",
            summary="No operator of Leaderboards holds the Lease",
            description="Operators run, but none holds the Lease.",
        ),
        *_operator_down(
            "LeaderboardOperatorBlind",
            Comparison("max by (namespace) (max_over_time(leaderboard_operator_watch_age_seconds[10m]))", "> 120"),
            hold="",
            summary="The operator of Leaderboards does not see changes",
            description=(
                "In the last 10 minutes its watch was {{ $value | humanizeDuration }} behind the API server. At 180 s "
                "its liveness probe restarts it."
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
                "{{ $value | humanize }} reconciles of the last 10 minutes ended with an error, and errors have "
                "continued for 20 minutes. The affected Leaderboards do not change."
            ),
        ),
    )


def _operator_down(name: str, when: Comparison, *, hold: str, summary: str, description: str) -> tuple[Alert, ...]:
    """A ticket, because Leaderboards keep serving; a page after `PAGE_DELAY` if an autoscaler needs the operator."""
    variants: dict[Severity, tuple[tuple[Comparison, ...], str]] = {
        "ticket": ((), hold),
        "page": ((AUTOSCALED,), PAGE_DELAY),
    }
    return tuple(
        Alert(
            name=name,
            when=(when, *others),
            hold=held,
            severity=severity,
            dashboard="operator",
            summary=summary,
            description=f"{description} {OPERATOR_DOWN}",
        )
        for severity, (others, held) in variants.items()
    )
