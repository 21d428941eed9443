"""What one scrape says of several processes: counts are added up and never go back, gauges by what they mean."""

import math

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tornado_app.observability.aggregation import Family, Joined, families, join
from tornado_app.observability.metrics import Metrics


def scraped(joined: Joined) -> dict[tuple[str, frozenset], float]:
    registry = CollectorRegistry()
    registry.register(joined)
    text = generate_latest(registry).decode()
    return {
        (sample.name.removeprefix("leaderboard_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(joined: Joined, name: str, **labels: str) -> float:
    return scraped(joined)[name, frozenset(labels.items())]


@pytest.fixture
def two() -> tuple[Metrics, Metrics]:
    return Metrics(), Metrics()


@pytest.fixture
def joined(two) -> Joined:
    """What is measured now of both, as processes 1 and 2."""
    joined = Joined()
    put(joined, *two)
    return joined


def own(metrics: Metrics) -> list[Family]:
    """Without what tells of the whole Python process, and changes while one looks."""
    return [family for family in families(metrics) if family.name.startswith("leaderboard_")]


def lines(text: bytes) -> list[bytes]:
    """The lines about the service's own metrics."""
    return sorted(line for line in text.splitlines() if b"leaderboard_" in line)


def put(joined: Joined, *processes: Metrics) -> None:
    for number, metrics in enumerate(processes, 1):
        joined.put(number, families(metrics))


def test_counters_are_added_up_label_by_label(two, joined):
    one, other = two
    one.points.labels("A").inc(5)
    other.points.labels("A").inc(7)
    other.points.labels("B").inc(2)
    put(joined, *two)
    assert value(joined, "score_points_total", frontend="A") == 12
    assert value(joined, "score_points_total", frontend="B") == 2


def test_histograms_are_added_up_bucket_by_bucket(two, joined):
    for metrics, sizes in zip(two, ([1, 3], [3, 1000]), strict=True):
        for size in sizes:
            metrics.commit_size.observe(size)
    put(joined, *two)
    buckets = [value(joined, "group_commit_size_bucket", le=le) for le in ("1.0", "2.0", "4.0", "512.0", "+Inf")]
    assert buckets == [1, 1, 3, 3, 4]
    assert value(joined, "group_commit_size_count") == 4
    assert value(joined, "group_commit_size_sum") == 1007


def test_gauges_are_joined_by_what_they_mean(two, joined):
    one, other = two
    for metrics, sockets, lag in ((one, 3, 0.5), (other, 4, math.inf)):
        metrics.sockets.labels("A").set(sockets)
        metrics.feed_lag.set(lag)
        metrics.ranked.set(1000)
    one.ledger_writer.set_function(lambda: True)
    put(joined, *two)
    assert value(joined, "websocket_connections", frontend="A") == 7
    assert value(joined, "change_stream_lag_seconds") == math.inf
    assert value(joined, "ranked_players") == 1000
    assert value(joined, "ledger_writer") == 1


def test_what_a_process_had_counted_outlives_it_and_its_gauges_do_not(two, joined):
    for metrics in two:
        metrics.points.labels("A").inc(10)
        metrics.commit_size.observe(3)
        metrics.sockets.labels("A").set(5)
    put(joined, *two)
    for life in range(1, 4):
        joined.end(1)
        assert value(joined, "score_points_total", frontend="A") == 10 * (life + 1)
        assert value(joined, "group_commit_size_count") == life + 1
        assert value(joined, "websocket_connections", frontend="A") == 5
        one = Metrics()
        joined.put(1, families(one))  # its next life begins at nothing
        assert value(joined, "score_points_total", frontend="A") == 10 * (life + 1)
        one.points.labels("A").inc(10)
        one.commit_size.observe(3)
        joined.put(1, families(one))


def test_a_process_that_never_told_anything_may_end(joined):
    before = scraped(joined)
    joined.end(99)
    assert scraped(joined) == before


def test_every_gauge_says_what_several_of_it_make():
    metrics = Metrics()
    gauges = {family.name for family in families(metrics) if family.kind == "gauge"}
    assert gauges <= set(metrics.joins)


def test_it_goes_over_a_wire_and_comes_out_in_the_formats_of_prometheus(two):
    two[0].feed_lag.set(math.inf)
    two[0].http_requests.labels("GET", "/x", 200).inc()
    measured = own(two[0])
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(measured), type=list[Family])
    assert back == measured
    joined = Joined()
    joined.put(1, back)
    registry = CollectorRegistry()
    registry.register(joined)
    for accepted in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        encode, _ = choose_encoder(accepted)
        alone, together = encode(two[0].registry), encode(registry)
        assert lines(together) == lines(alone)


def test_one_process_joined_is_itself(two):
    measured = families(two[0])
    assert join([measured]) == measured
