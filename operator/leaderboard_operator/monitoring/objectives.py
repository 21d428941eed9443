"""Service level objectives: the ratio of bad events, and alerts on the burn rate of the error budget.

Source of windows and factors: Google's Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts". A
factor of 14.4 for an hour is a fiftieth of a month's budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TypeAlias

import msgspec

from leaderboard_operator.monitoring.rule_types import BY, NAME, Alert, Comparison, Group, Recording, Scope, Severity
from leaderboard_operator.spec.operations import Slo

PLAYERS = ('route=~"/api/.+"', 'route!~"/api/v1/admin/.+"')
"""Requests of players: without probes, which fail while a pod drains, and without moderation and pages."""

MIN_BAD_EVENTS = 10
"""Minimum of bad events for an alert: with few players, one event is a large ratio."""

FAST_RATIO = Decimal("0.99")
"""The ratio of events that must be within the threshold of the objective."""


Count: TypeAlias = Callable[[str, str], str]
"""A query for events, from a function (rate, increase) and a window."""


class Burn(msgspec.Struct, frozen=True):
    """An alert on a burn rate above `factor`, over a `long` and a `short` window."""

    factor: str
    long: str
    short: str
    hold: str
    severity: Severity


BURNS = (
    Burn("14.4", "1h", "5m", "2m", "page"),
    Burn("6", "6h", "30m", "15m", "page"),
    Burn("3", "1d", "2h", "1h", "ticket"),
    Burn("1", "3d", "6h", "3h", "ticket"),
)
"""The short window ends an alert soon after its cause ends."""

BUDGET_PERIOD = "30d"

LONG_WINDOWS = ("2h", "6h", "1d", "3d")
"""Windows that are expensive to read and change little in a minute. They have a longer interval."""


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """An objective: the ratio of `bad` to `total` events is at most `budget`."""

    name: str
    metric: str
    events: str
    budget: Decimal
    bad: Count
    total: Count
    summary: str
    meaning: str

    def ratio(self, window: str) -> str:
        """The name of the recorded ratio of bad events."""
        return f"leaderboard:{self.metric}:ratio_rate{window}"

    @property
    def bad_rate(self) -> str:
        """The name of the recorded rate of bad events, from which the monthly ratio is computed."""
        return f"leaderboard:{self.metric}:rate5m"

    @property
    def total_rate(self) -> str:
        """The name of the recorded rate of all events."""
        return f"leaderboard:{self.events}:rate5m"

    def count(self, window: str) -> str:
        """The name of the recorded number of bad events."""
        return f"leaderboard:{self.metric}:increase{window}"

    def recordings(self, *, long_windows: bool) -> Iterator[Recording]:
        """The recordings of the long windows, or of the others."""
        longs = {burn.long for burn in BURNS}
        for window in sorted({*longs, *(burn.short for burn in BURNS)}, key=_seconds):
            if (window in LONG_WINDOWS) == long_windows:
                share = f"{self.bad('rate', window)}\n/ {self.total('rate', window)}"
                yield Recording(self.ratio(window), share)
                if window in longs:
                    yield Recording(self.count(window), self.bad("increase", window))

    def monthly(self, scope: Scope) -> Iterator[Recording]:
        """The ratio of bad events in a month, which shows the remaining budget.

        It uses recorded rates, with one series per Leaderboard, instead of the series of all pods.
        """
        rates = (f"avg_over_time({scope.series(name)}[{BUDGET_PERIOD}])" for name in (self.bad_rate, self.total_rate))
        yield Recording(self.ratio(BUDGET_PERIOD), "\n/ ".join(rates))

    def rates(self) -> Iterator[Recording]:
        """The recordings that `monthly` reads."""
        yield Recording(self.bad_rate, self.bad("rate", "5m"))
        yield Recording(self.total_rate, self.total("rate", "5m"))

    def alerts(self, scope: Scope) -> Iterator[Alert]:
        """One alert per pair of windows, all with the same name."""
        allowed = f"{(self.budget * 100).normalize():f} %"
        for burn in BURNS:
            bound = f"> {burn.factor} * {self.budget}"
            yield Alert(
                name=f"Leaderboard{self.name.capitalize()}Burn",
                when=(
                    Comparison(scope.series(self.ratio(burn.long)), bound),
                    Comparison(scope.series(self.ratio(burn.short)), bound),
                    Comparison(scope.series(self.count(burn.long)), f">= {MIN_BAD_EVENTS}"),
                ),
                hold=burn.hold,
                severity=burn.severity,
                labels={"slo": self.name, "long": burn.long, "short": burn.short},
                summary=f"{NAME}: {self.summary}",
                description=(
                    f"In the last {burn.long}, {{{{ $value | humanizePercentage }}}} of {self.meaning}. "
                    f"That is more than {burn.factor} times the {allowed} that the objective allows. The same is true "
                    f"for the last {burn.short}."
                ),
            )


def objectives(slo: Slo, scope: Scope) -> tuple[Objective, ...]:
    """The three objectives of a Leaderboard."""
    requests = _sum(scope.series("leaderboard_http_requests_total", *PLAYERS))
    failed = _sum(scope.series("leaderboard_http_requests_total", *PLAYERS, 'code=~"5.."'))
    return (
        Objective(
            name="availability",
            metric="http_requests_failed",
            events="http_requests",
            budget=1 - Decimal(slo.availability) / 100,
            bad=_combined(failed, "or 0 *", requests),  # without a failure there is no series
            total=requests,
            summary="requests fail",
            meaning="players' requests failed with a 5xx",
        ),
        _fast(
            "latency",
            "http_requests_slow",
            "http_requests_timed",
            ("leaderboard_http_request_duration_seconds", *PLAYERS),
            slo.latency,
            scope,
            summary="answers are slow",
            meaning=f"players' requests took more than {slo.latency}",
        ),
        _fast(
            "propagation",
            "update_propagation_slow",
            "update_propagations",
            ("leaderboard_update_propagation_seconds",),
            slo.propagation,
            scope,
            summary="the board lags behind the scores",
            meaning=f"changes of the top 10 took more than {slo.propagation} to the last socket",
        ),
    )


def objective_targets(slo: Slo) -> dict[tuple[str, str], float]:
    """The target ratio of good events, by the name of the objective and its threshold in seconds (may be "")."""
    fast = {("latency", slo.latency), ("propagation", slo.propagation)}
    targets = {(name, str(_seconds(limit))): float(FAST_RATIO) for name, limit in fast}
    return {("availability", ""): float(Decimal(slo.availability) / 100), **targets}


def slo_groups(slo: Slo, scope: Scope) -> tuple[Group, ...]:
    """Recordings and alerts of the three objectives."""
    slos = objectives(slo, scope)
    return (
        Group(
            "leaderboard-slo", tuple(rule for objective in slos for rule in objective.recordings(long_windows=False))
        ),
        Group(
            "leaderboard-slo-slow",
            tuple(rule for objective in slos for rule in objective.recordings(long_windows=True)),
            "2m",
        ),
        Group("leaderboard-slo-rates", tuple(rule for objective in slos for rule in objective.rates()), "1m"),
        Group("leaderboard-slo-month", tuple(rule for objective in slos for rule in objective.monthly(scope)), "2m"),
        Group("leaderboard-slo-alerts", tuple(rule for objective in slos for rule in objective.alerts(scope))),
    )


def _fast(
    name: str,
    metric: str,
    events: str,
    histogram: tuple[str, ...],
    limit: str,
    scope: Scope,
    *,
    summary: str,
    meaning: str,
) -> Objective:
    """An objective for durations: events above the limit are bad."""
    family, *matchers = histogram
    within = _sum(scope.series(f"{family}_bucket", *matchers, f'le="{_seconds(limit)}"'))
    total = _sum(scope.series(f"{family}_count", *matchers))
    return Objective(
        name=name,
        metric=metric,
        events=events,
        budget=1 - FAST_RATIO,
        bad=_combined(total, "-", within),
        total=total,
        summary=summary,
        meaning=meaning,
    )


def _sum(series: str) -> Count:
    return lambda function, window: f"sum {BY} ({function}({series}[{window}]))"


def _combined(left: Count, operator: str, right: Count) -> Count:
    return lambda *over: f"(\n  {left(*over)}\n  {operator} {right(*over)}\n)"


def _seconds(duration: str) -> float:
    """The duration as a number, in the form of the bounds of histogram buckets: 0.25, 1.0."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number = duration.rstrip("".join(units))
    return float(Decimal(number) * Decimal(str(units[duration.removeprefix(number)])))
