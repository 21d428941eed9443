"""The metrics of several processes in one scrape: summed counters that never decrease, gauges by their mode."""

import math

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tornado_app.observability.aggregation import AggregatedCollector, Family, aggregate, families
from tornado_app.observability.metrics import Metrics


def scraped(collector: AggregatedCollector) -> dict[tuple[str, frozenset], float]:
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    return {
        (sample.name.removeprefix("leaderboard_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(collector: AggregatedCollector, name: str, **labels: str) -> float:
    return scraped(collector)[name, frozenset(labels.items())]


@pytest.fixture
def two() -> tuple[Metrics, Metrics]:
    return Metrics(), Metrics()


@pytest.fixture
def collector(two) -> AggregatedCollector:
    """What is measured now of both, as processes 1 and 2."""
    collector = AggregatedCollector()
    update(collector, *two)
    return collector


def own(metrics: Metrics) -> list[Family]:
    """Without what tells of the whole Python process, and changes while one looks."""
    return [family for family in families(metrics) if family.name.startswith("leaderboard_")]


def lines(text: bytes) -> list[bytes]:
    """The lines about the service's own metrics."""
    return sorted(line for line in text.splitlines() if b"leaderboard_" in line)


def update(collector: AggregatedCollector, *processes: Metrics) -> None:
    for number, metrics in enumerate(processes, 1):
        collector.update(number, families(metrics))


def test_counters_are_summed_by_label(two, collector):
    one, other = two
    one.points.labels("A").inc(5)
    other.points.labels("A").inc(7)
    other.points.labels("B").inc(2)
    update(collector, *two)
    assert value(collector, "score_points_total", frontend="A") == 12
    assert value(collector, "score_points_total", frontend="B") == 2


def test_histograms_are_summed_by_bucket(two, collector):
    for metrics, sizes in zip(two, ([1, 3], [3, 1000]), strict=True):
        for size in sizes:
            metrics.batch_size.observe(size)
    update(collector, *two)
    buckets = [value(collector, "batch_write_size_bucket", le=le) for le in ("1.0", "2.0", "4.0", "512.0", "+Inf")]
    assert buckets == [1, 1, 3, 3, 4]
    assert value(collector, "batch_write_size_count") == 4
    assert value(collector, "batch_write_size_sum") == 1007


def test_gauges_are_aggregated_by_their_mode(two, collector):
    one, other = two
    for metrics, sockets, lag in ((one, 3, 0.5), (other, 4, math.inf)):
        metrics.sockets.labels("A").set(sockets)
        metrics.feed_lag.set(lag)
        metrics.ranked.labels("main").set(1000)
    one.ledger_writer.set_function(lambda: True)
    update(collector, *two)
    assert value(collector, "websocket_connections", frontend="A") == 7
    assert value(collector, "change_stream_lag_seconds") == math.inf
    assert value(collector, "ranked_players", board="main") == 1000
    assert value(collector, "ledger_writer") == 1


def test_counters_of_an_ended_process_remain_and_its_gauges_do_not(two, collector):
    for metrics in two:
        metrics.points.labels("A").inc(10)
        metrics.batch_size.observe(3)
        metrics.sockets.labels("A").set(5)
    update(collector, *two)
    for life in range(1, 4):
        collector.process_exited(1)
        assert value(collector, "score_points_total", frontend="A") == 10 * (life + 1)
        assert value(collector, "batch_write_size_count") == life + 1
        assert value(collector, "websocket_connections", frontend="A") == 5
        one = Metrics()
        collector.update(1, families(one))  # its next life begins at nothing
        assert value(collector, "score_points_total", frontend="A") == 10 * (life + 1)
        one.points.labels("A").inc(10)
        one.batch_size.observe(3)
        collector.update(1, families(one))


def test_process_without_a_report_may_end(collector):
    before = scraped(collector)
    collector.process_exited(99)
    assert scraped(collector) == before


def test_every_gauge_has_an_aggregation_mode():
    metrics = Metrics()
    gauges = {family.name for family in families(metrics) if family.kind == "gauge"}
    assert gauges <= set(metrics.aggregations)


def test_aggregation_is_serialised_and_rendered_in_both_formats(two):
    two[0].feed_lag.set(math.inf)
    two[0].http_requests.labels("GET", "/x", 200).inc()
    measured = own(two[0])
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(measured), type=list[Family])
    assert back == measured
    collector = AggregatedCollector()
    collector.update(1, back)
    registry = CollectorRegistry()
    registry.register(collector)
    for accepted in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        encode, _ = choose_encoder(accepted)
        alone, together = encode(two[0].registry), encode(registry)
        assert lines(together) == lines(alone)


def test_aggregation_of_one_process_equals_its_metrics(two):
    measured = families(two[0])
    assert aggregate([measured]) == measured
