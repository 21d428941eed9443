"""The verdict panels by promtool: per Leaderboard, by its own objectives, never "fine" while a page fires."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from dashboards import slo
from tests.support.dashboards import filled
from tests.support.prometheus import promtool

FINE, PAGED, LATE, SLOW, FAIL, DOWN = range(6)
OWN = 'namespace="games",leaderboard="{}"'
ROUTE = 'route="/api/score"'


def series(metric: str, values: str, leaderboard: str, *labels: str) -> dict[str, str]:
    return {"series": f"{metric}{{{','.join((OWN.format(leaderboard), *labels))}}}", "values": values}


def healthy(leaderboard: str, slow: int = 0, failed: int = 0) -> list[dict[str, str]]:
    """A Leaderboard of one pod with 100 requests a minute: so many take between 0.25 and 1 s, or fail."""
    histogram = "leaderboard_http_request_duration_seconds"
    return [
        series("leaderboard_build_info", "1x20", leaderboard),
        series("leaderboard_ready", "1x20", leaderboard),
        series("leaderboard_http_requests_total", f"0+{100 - failed}x20", leaderboard, ROUTE, 'code="200"'),
        series("leaderboard_http_requests_total", f"0+{failed}x20", leaderboard, ROUTE, 'code="500"'),
        series(f"{histogram}_bucket", f"0+{100 - slow}x20", leaderboard, ROUTE, 'le="0.25"'),
        series(f"{histogram}_bucket", "0+100x20", leaderboard, ROUTE, 'le="1.0"'),
        series(f"{histogram}_count", "0+100x20", leaderboard, ROUTE),
    ]


def objective(leaderboard: str, name: str, share: float, *threshold: str) -> dict[str, str]:
    labels = (f'slo="{name}"', *(f'threshold="{each}"' for each in threshold))
    return series("leaderboard_operator_objective", f"{share}x20", leaderboard, *labels)


def firing(leaderboard: str, severity: str) -> dict[str, str]:
    labels = ('alertname="LeaderboardExternalChanges"', 'alertstate="firing"', f'severity="{severity}"')
    return series("ALERTS", "1x20", leaderboard, *labels)


def replicas(leaderboard: str, desired: int, ready: int) -> list[dict[str, str]]:
    states = {"desired": desired, "ready": ready}
    return [
        series("leaderboard_operator_replicas", f"{n}x20", leaderboard, f'state="{it}"') for it, n in states.items()
    ]


CASES: dict[str, tuple[list[dict[str, str]], dict[str, int]]] = {
    "nothing is wrong": (healthy("arcade"), {"arcade": FINE}),
    "one is down among three that are well": (
        [*healthy("a"), *healthy("b"), *healthy("c"), series("leaderboard_ready", "0x20", "small")],
        {"a": FINE, "b": FINE, "c": FINE, "small": DOWN},
    ),
    "no pod is scraped, and the operator has seen none": (replicas("arcade", desired=2, ready=0), {"arcade": DOWN}),
    "it is scaled to nothing": (replicas("arcade", desired=0, ready=0), {"arcade": FINE}),
    "a small one fails beside a large one": (
        [*healthy("large"), *healthy("small", failed=2)],
        {"large": FINE, "small": FAIL},
    ),
    "an objective allows what fails": (
        [*healthy("arcade", failed=2), objective("arcade", "availability", 0.99)],
        {"arcade": FINE},
    ),
    "slow by the default": (healthy("arcade", slow=10), {"arcade": SLOW}),
    "an objective of a second is kept, another's is the default": (
        [*healthy("arcade", slow=10), *healthy("chess", slow=10), objective("arcade", "latency", 0.99, "1.0")],
        {"arcade": FINE, "chess": SLOW},
    ),
    "a page fires for what no objective sees": ([*healthy("arcade"), firing("arcade", "page")], {"arcade": PAGED}),
    "a ticket fires": ([*healthy("arcade"), firing("arcade", "ticket")], {"arcade": FINE}),
    "it fails, and a page fires": ([*healthy("arcade", failed=50), firing("arcade", "page")], {"arcade": FAIL}),
}


def check(folder: Any, expression: str, given: list[dict[str, str]], expected: list[dict[str, Any]]) -> None:
    test = {
        "interval": "1m",
        "input_series": given,
        "promql_expr_test": [{"expr": filled(expression), "eval_time": "15m", "exp_samples": expected}],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}), encoding="utf-8")
    done = promtool("test", "rules", "test.yaml", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("given", "verdicts"), CASES.values(), ids=list(CASES))
def test_verdict_is_shown_per_leaderboard(tmp_path, given, verdicts):
    expected = [{"labels": f"{{{OWN.format(name)}}}", "value": value} for name, value in verdicts.items()]
    check(tmp_path, slo.verdicts(), given, expected)


def test_remaining_budget_is_the_smallest_of_all_leaderboards(tmp_path):
    (availability, *_) = slo.OBJECTIVES
    month = "leaderboard:http_requests_failed:ratio_rate30d"
    given = [series(month, "0.0005x20", "arcade"), series(month, "0.002x20", "chess")]
    given += [objective("arcade", "availability", 0.999), objective("chess", "availability", 0.99)]
    check(tmp_path, f"round(100 * ({availability.left()}))", given, [{"labels": "{}", "value": 50}])
