"""PromQL, put together: the selectors of the dashboards' variables, and the forms that panels share."""

from __future__ import annotations

from leaderboard_operator.monitoring.objectives import PLAYERS

WHERE = ('cluster=~"$cluster"', 'namespace=~"$namespace"', 'leaderboard=~"$leaderboard"')
"""What the variables select. All of them match a series that does not have the label, as one outside Kubernetes."""
OPERATOR = ('cluster=~"$cluster"', 'namespace=~"$operator"')
"""The operator's own series: its namespace is another one than those of the Leaderboards."""

WINDOW = "$__rate_interval"
REQUESTS = "leaderboard_http_requests_total"
DURATION = "leaderboard_http_request_duration_seconds"
PROPAGATION = "leaderboard_update_propagation_seconds"
Scope = tuple[str, ...]


def series(metric: str, *matchers: str, scope: Scope = WHERE) -> str:
    """The series of a metric that the variables select."""
    return f"{metric}{{{', '.join((*scope, *matchers))}}}"


def rate(metric: str, *matchers: str, window: str = WINDOW, scope: Scope = WHERE) -> str:
    """How much a counter rises in a second."""
    return f"rate({series(metric, *matchers, scope=scope)}[{window}])"


def increase(metric: str, *matchers: str, window: str = WINDOW, scope: Scope = WHERE) -> str:
    """How much a counter rises in a window."""
    return f"increase({series(metric, *matchers, scope=scope)}[{window}])"


def join(how: str, expression: str, *by: str) -> str:
    """An aggregation, with `by` as the labels that are left."""
    return f"{how} by ({', '.join(by)}) ({expression})" if by else f"{how}({expression})"


def total(expression: str, *by: str) -> str:
    """The sum."""
    return join("sum", expression, *by)


def ever(counter: str, *by: str, matchers: Scope = ()) -> str:
    """Which counters rose at all in the time that is shown: most of those that start at 0 never do."""
    return f"{total(increase(counter, *matchers, window='$__range'), *by)} > 0"


def events(counter: str, *by: str) -> str:
    """How often something happened, of what ever happened."""
    return f"{total(increase(counter), *by)} and {ever(counter, *by)}"


def quantile(
    q: float, histogram: str, *by: str, matchers: Scope = (), window: str = WINDOW, scope: Scope = WHERE
) -> str:
    """A quantile of a histogram."""
    buckets = rate(f"{histogram}_bucket", *matchers, window=window, scope=scope)
    return f"histogram_quantile({q}, {total(buckets, 'le', *by)})"


def mean(histogram: str, *by: str) -> str:
    """The mean of what a histogram or summary observed."""
    return f"{total(rate(f'{histogram}_sum'), *by)} / {total(rate(f'{histogram}_count'), *by)}"


def own(expression: str, witness: str) -> str:
    """Series that any program has (`process_…`), of those targets only that also have the series `witness`."""
    return f"{expression} and on (job, instance) {witness}"


# -- the objectives: what share of players' requests and of the board's moves was not as promised ---------


def failed(window: str, *by: str) -> str:
    """The share of requests that the service failed to answer: 5xx; what it refuses (4xx) it has answered."""
    every = total(rate(REQUESTS, *PLAYERS, window=window), *by)
    bad = total(rate(REQUESTS, *PLAYERS, 'code=~"5.."', window=window), *by)
    return f"({bad} or 0 * {every}) / {every}"


def slow(window: str, *by: str) -> str:
    """The share of requests that took longer than $latency."""
    return _above(DURATION, window, 'le="$latency"', *PLAYERS, by=by)


def late(window: str, *by: str) -> str:
    """The share of the board's changes that reached the open pages later than $propagation."""
    return _above(PROPAGATION, window, 'le="$propagation"', by=by)


def _above(histogram: str, window: str, edge: str, *matchers: str, by: tuple[str, ...]) -> str:
    within = total(rate(f"{histogram}_bucket", edge, *matchers, window=window), *by)
    every = total(rate(f"{histogram}_count", *matchers, window=window), *by)
    return f"1 - {within} / {every}"
