"""Service level objectives: what share of events is bad, and alerts on how fast that burns the error budget.

Source of windows and factors: Google's Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts". A
factor of 14.4 for an hour is a fiftieth of a month's budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TypeAlias

import msgspec

from leaderboard_operator.monitoring.rules import BY, NAME, Alert, Comparison, Group, Recording, Scope, Severity
from leaderboard_operator.spec.runtime import Slo

PLAYERS = ('route=~"/api/.+"', 'route!~"/api/v1/admin/.+"')
"""Requests of players: neither probes, which are refused on purpose while a pod drains, nor moderation and pages."""

LEAST = 10
"""Bad events that an alert takes: on a board with few players, one is soon a large share, and no news."""

WITHIN = Decimal("0.99")
"""The share of events that must be fast; the objective says how fast."""


Count: TypeAlias = Callable[[str, str], str]
"""How many events there are by a function (rate, increase) over a window."""


class Burn(msgspec.Struct, frozen=True):
    """The budget is burnt `factor` times as fast as it may be, both over a `long` and over a `short` window."""

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
"""The short window ends an alert soon after what caused it."""

MONTH = "30d"
"""What the error budget is for."""

SLOW_TO_CHANGE = ("2h", "6h", "1d", "3d")
"""Windows that are long to read and little changed by a minute."""


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """A promise about events: those that are `bad` are no larger a share of the `total` than the budget."""

    name: str
    metric: str
    events: str
    budget: Decimal
    bad: Count
    total: Count
    summary: str
    meaning: str

    def ratio(self, window: str) -> str:
        """The name of the recorded share of bad events."""
        return f"leaderboard:{self.metric}:ratio_rate{window}"

    @property
    def bad_rate(self) -> str:
        """The name of the recorded rate of bad events, from which shares over a month are made."""
        return f"leaderboard:{self.metric}:rate5m"

    @property
    def total_rate(self) -> str:
        """The name of the recorded rate of all events."""
        return f"leaderboard:{self.events}:rate5m"

    def count(self, window: str) -> str:
        """The name of the recorded number of bad events."""
        return f"leaderboard:{self.metric}:increase{window}"

    def recordings(self, *, slow: bool) -> Iterator[Recording]:
        """Of the windows that are slow to change, or of the others."""
        longs = {burn.long for burn in BURNS}
        for window in sorted({*longs, *(burn.short for burn in BURNS)}, key=_seconds):
            if (window in SLOW_TO_CHANGE) == slow:
                share = f"{self.bad('rate', window)}\n/ {self.total('rate', window)}"
                yield Recording(self.ratio(window), share)
                if window in longs:
                    yield Recording(self.count(window), self.bad("increase", window))

    def monthly(self, scope: Scope) -> Iterator[Recording]:
        """The share of bad events in a month: what is left of the budget follows from it.

        It is made of recorded rates, one series of each Leaderboard, instead of a month of every pod's own series.
        """
        rates = (f"avg_over_time({scope.series(name)}[{MONTH}])" for name in (self.bad_rate, self.total_rate))
        yield Recording(self.ratio(MONTH), "\n/ ".join(rates))

    def rates(self) -> Iterator[Recording]:
        """What `monthly` reads."""
        yield Recording(self.bad_rate, self.bad("rate", "5m"))
        yield Recording(self.total_rate, self.total("rate", "5m"))

    def alerts(self, scope: Scope) -> Iterator[Alert]:
        """One for each pair of windows, all of one name."""
        allowed = f"{(self.budget * 100).normalize():f} %"
        for burn in BURNS:
            bound = f"> {burn.factor} * {self.budget}"
            yield Alert(
                name=f"Leaderboard{self.name.capitalize()}Burn",
                when=(
                    Comparison(scope.series(self.ratio(burn.long)), bound),
                    Comparison(scope.series(self.ratio(burn.short)), bound),
                    Comparison(scope.series(self.count(burn.long)), f">= {LEAST}"),
                ),
                hold=burn.hold,
                severity=burn.severity,
                labels={"slo": self.name, "long": burn.long, "short": burn.short},
                summary=f"{NAME}: {self.summary}",
                description=(
                    f"In the last {burn.long}, {{{{ $value | humanizePercentage }}}} of {self.meaning}. "
                    f"The objective allows {allowed}, and this is more than {burn.factor} times that, in the last "
                    f"{burn.short} too."
                ),
            )


def objectives(slo: Slo, scope: Scope) -> tuple[Objective, ...]:
    """The three promises of a Leaderboard."""
    requests = _sum(scope.series("leaderboard_http_requests_total", *PLAYERS))
    failed = _sum(scope.series("leaderboard_http_requests_total", *PLAYERS, 'code=~"5.."'))
    return (
        Objective(
            name="availability",
            metric="http_requests_failed",
            events="http_requests",
            budget=1 - Decimal(slo.availability) / 100,
            bad=_both(failed, "or 0 *", requests),  # what has never failed has no series
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


def promised(slo: Slo) -> dict[tuple[str, str], float]:
    """The share of events that each objective promises, by its name and its threshold in seconds ("" without one)."""
    fast = {("latency", slo.latency), ("propagation", slo.propagation)}
    kept = {(name, str(_seconds(limit))): float(WITHIN) for name, limit in fast}
    return {("availability", ""): float(Decimal(slo.availability) / 100), **kept}


def slo_groups(slo: Slo, scope: Scope) -> tuple[Group, ...]:
    """Recordings and alerts of the three promises."""
    promises = objectives(slo, scope)
    return (
        Group("leaderboard-slo", tuple(each for one in promises for each in one.recordings(slow=False))),
        Group("leaderboard-slo-slow", tuple(each for one in promises for each in one.recordings(slow=True)), "2m"),
        Group("leaderboard-slo-rates", tuple(each for one in promises for each in one.rates()), "1m"),
        Group("leaderboard-slo-month", tuple(each for one in promises for each in one.monthly(scope)), "2m"),
        Group("leaderboard-slo-alerts", tuple(each for one in promises for each in one.alerts(scope))),
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
    """A promise that events are fast; those in no bucket up to the limit are bad."""
    family, *matchers = histogram
    within = _sum(scope.series(f"{family}_bucket", *matchers, f'le="{_seconds(limit)}"'))
    total = _sum(scope.series(f"{family}_count", *matchers))
    return Objective(
        name=name,
        metric=metric,
        events=events,
        budget=1 - WITHIN,
        bad=_both(total, "-", within),
        total=total,
        summary=summary,
        meaning=meaning,
    )


def _sum(series: str) -> Count:
    return lambda function, window: f"sum {BY} ({function}({series}[{window}]))"


def _both(one: Count, operator: str, other: Count) -> Count:
    return lambda *over: f"(\n  {one(*over)}\n  {operator} {other(*over)}\n)"


def _seconds(duration: str) -> float:
    """As Prometheus' client library writes bounds of buckets: 0.25, 1.0."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number = duration.rstrip("".join(units))
    return float(Decimal(number) * Decimal(str(units[duration.removeprefix(number)])))
