"""PromQL, put together: the selectors of the dashboards' variables, and the forms that panels share."""

from __future__ import annotations

from leaderboard_operator.monitoring.objectives import PLAYERS, objective_targets
from leaderboard_operator.spec.operations import Slo

WHERE = ('cluster=~"$cluster"', 'namespace=~"$namespace"', 'leaderboard=~"$leaderboard"')
"""The matchers of the variables. All match a series without the label, as one outside Kubernetes."""
OPERATOR = ('cluster=~"$cluster"', 'namespace=~"$operator"')
"""The operator's own series: its namespace is another one than those of the Leaderboards."""

EACH = ("namespace", "leaderboard")
"""The labels that make one Leaderboard of the series of all its pods."""

OBJECTIVE = "leaderboard_operator_objective"
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


# -- the objectives, by Leaderboard: each has its own, so that shares are compared before they are put together ------


def failed(window: str) -> str:
    """The share of requests that the service failed to answer: 5xx; what it refuses (4xx) it has answered."""
    every = total(rate(REQUESTS, *PLAYERS, window=window), *EACH)
    bad = total(rate(REQUESTS, *PLAYERS, 'code=~"5.."', window=window), *EACH)
    return f"({bad} or 0 * {every}) / {every}"


def slow(window: str) -> str:
    """The share of requests that took longer than the Leaderboard's objective."""
    return _above("latency", DURATION, window, *PLAYERS)


def late(window: str) -> str:
    """The share of the board's changes that reached the open pages later than the Leaderboard's objective."""
    return _above("propagation", PROPAGATION, window)


def budget(slo: str) -> str:
    """The share of events that may be bad: as the resource says, or the default where no operator exports it."""
    named = join("max", series(OBJECTIVE, f'slo="{slo}"'), *EACH)
    return f"(1 - ({named} or {_known()} * {_default(slo)[1]}))"


def threshold(slo: str) -> str:
    """How long an event may take, in seconds, where the objective is strictest."""
    limits = series(f"{OBJECTIVE}_seconds", f'slo="{slo}"')
    return f"min({limits}) or vector({_default(slo)[0]})"


def _above(slo: str, histogram: str, window: str, *matchers: str) -> str:
    buckets = total(rate(f"{histogram}_bucket", *matchers, window=window), *EACH, "le")
    within = total(f"{buckets} and on ({', '.join(EACH)}, le) {_edges(slo)}", *EACH)
    every = total(rate(f"{histogram}_count", *matchers, window=window), *EACH)
    return f"1 - {within} / {every}"


def _edges(slo: str) -> str:
    """A series for each Leaderboard, whose label `le` is the bound of the bucket that its objective names."""
    named = join("max", series(OBJECTIVE, f'slo="{slo}"'), *EACH, "threshold")
    own = f'label_replace({named}, "le", "$1", "threshold", "(.*)")'
    default = f'label_replace({_known()}, "le", "{_default(slo)[0]}", "", "")'
    return f"({own} or on ({', '.join(EACH)}) {default})"


def _known() -> str:
    """1 for each Leaderboard that is scraped."""
    return join("max", series("leaderboard_build_info"), *EACH)


def _default(slo: str) -> tuple[str, float]:
    """Threshold and share of an objective where no operator exports it."""
    return next((limit, share) for (name, limit), share in objective_targets(Slo()).items() if name == slo)
