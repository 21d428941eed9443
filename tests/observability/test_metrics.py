"""Declared metrics pass promtool, exist from the start, and have no label values from clients."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from leaderboard_operator.metrics import Metrics as OperatorMetrics
from tests.support.requirements import missing
from tornado_app.api import metric_series
from tornado_app.api.frontends import FRONTENDS
from tornado_app.http.cors import Cors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.messages import Request, Response, Route, Router
from tornado_app.observability.aggregation import AggregatedCollector, families
from tornado_app.observability.metrics import COMMANDS, FAST, Metrics


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing("metrics are held against promtool: apt-get install prometheus")
    return found


def nothing(request: Request) -> Response:
    return Response(200)


ROUTES = [Route("/api/score", {"POST": nothing})]


@pytest.fixture
def begun() -> Metrics:
    """As the service has them when it begins to listen."""
    metrics = Metrics()
    metric_series.initialise(metrics, FRONTENDS, ROUTES)
    return metrics


@pytest.mark.parametrize("kind", [Metrics, OperatorMetrics])
def test_promtool_check_metrics_passes(promtool, kind):
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=generate_latest(kind().registry),
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_objectives_are_bucket_bounds():
    assert {0.25, 0.5} <= set(FAST)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("score_submissions_total", {"frontend": "A", "result": "accepted"}),
        ("score_submissions_total", {"frontend": "E", "result": "rate_limited"}),
        ("score_submissions_total", {"frontend": "C", "result": "overloaded"}),
        ("score_points_total", {"frontend": "B"}),
        ("websocket_opened_total", {"frontend": "C"}),
        ("websocket_evictions_total", {"reason": "stalled"}),
        ("websocket_refusals_total", {"reason": "origin_not_allowed"}),
        ("websocket_refusals_total", {"reason": "invalid_request"}),
        ("change_stream_restarts_total", {"reason": "history_lost"}),
        ("rank_checks_total", {"result": "differed"}),
        ("abuse_reports_total", {"rule": "replay_storm"}),
        ("mongodb_command_failures_total", {"command": "findAndModify"}),
        ("http_requests_total", {"method": "POST", "route": "/api/score", "code": "500"}),
        ("http_request_duration_seconds_count", {"method": "POST", "route": "/api/score"}),
    ],
)
def test_known_label_values_start_at_zero(begun, name, labels):
    assert begun.registry.get_sample_value(f"leaderboard_{name}", labels) == 0


def count_of_series(metrics: Metrics) -> int:
    return sum(
        len(family.samples) for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
    )


def test_client_input_creates_no_series(begun):
    dispatcher = Dispatcher(Router(ROUTES), metrics=begun, cors=Cors())
    dispatcher.count("BREW", "none", 404, 0.1, "r-1")
    begun.command("ping", 0.1)
    before = count_of_series(begun)
    for number in range(100):
        dispatcher.count(f"BREW{number}", "none", 404, 0.1, f"r-{number}")
        begun.command(f"command{number}", 0.1)
        begun.command(f"command{number}", None)
    assert count_of_series(begun) == before


def test_database_commands_are_counted_by_outcome():
    metrics = Metrics()
    metrics.command("find", 0.01)
    metrics.command("find", None)
    assert "find" in COMMANDS
    prefix = "leaderboard_mongodb_command"
    assert metrics.registry.get_sample_value(f"{prefix}_duration_seconds_count", {"command": "find"}) == 1
    assert metrics.registry.get_sample_value(f"{prefix}_failures_total", {"command": "find"}) == 1


def test_openmetrics_has_exemplars_of_slow_and_fast_requests(begun):
    dispatcher = Dispatcher(Router(ROUTES), metrics=begun, cors=Cors())
    for number, seconds in enumerate((0.002, 0.002, 0.3, 0.4, 0.7)):
        dispatcher.count("POST", "/api/score", 200, seconds, f"r-{number}")
    joined = AggregatedCollector()
    joined.update(1, families(begun))
    registry = CollectorRegistry()
    registry.register(joined)
    for scraped in (begun.registry, registry):
        text = openmetrics.generate_latest(scraped).decode()
        assert re.findall(r'request_id="(r-\d)"', text) == ["r-0", "r-3", "r-4"]
        assert "request_id" not in generate_latest(scraped).decode()


def test_exemplar_of_two_processes_is_the_newest():
    joined = AggregatedCollector()
    for process in (1, 2):
        metrics = Metrics()
        metrics.propagation.observe(0.3, {"request_id": f"r-{process}"})
        joined.update(3 - process, families(metrics))
    registry = CollectorRegistry()
    registry.register(joined)
    assert re.findall(r'request_id="(r-\d)"', openmetrics.generate_latest(registry).decode()) == ["r-2"]
