"""Every metric that service and operator declare keeps to the rules of Prometheus, by its own tool."""

import subprocess

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from leaderboard_operator.metrics import Metrics as OperatorMetrics
from tests.support.prometheus import need
from tornado_app.observability.metrics import Metrics
from tornado_app.observability.process import measure_process


def service():
    metrics = Metrics()
    measure_process(metrics)
    return metrics


def exposed(metrics):
    """A scrape in which each metric has a sample: what has none is not looked at."""
    for each in vars(metrics).values():
        if isinstance(each, Counter | Gauge | Histogram) and each._labelnames and not each._labelvalues:
            each.labels(*("x" for _ in each._labelnames))
    empty = [family.name for family in metrics.registry.collect() if not family.samples]
    assert empty == []
    return generate_latest(metrics.registry)


def complaints(scrape):
    """What promtool has against a scrape."""
    checked = subprocess.run([need("promtool"), "check", "metrics"], input=scrape, capture_output=True, timeout=100)
    assert checked.returncode in (0, 3), checked.stderr
    return checked.stderr.decode().splitlines()


@pytest.mark.parametrize("metrics", [service, OperatorMetrics])
def test_promtool_has_nothing_against_them(metrics):
    assert complaints(exposed(metrics())) == []


def test_promtool_would_say_what_is_wrong():
    registry = CollectorRegistry()
    Gauge("lag_milliseconds", "", registry=registry)
    Gauge("things_total", "A gauge that is called as a counter.", registry=registry)
    assert len(complaints(generate_latest(registry))) == 3
