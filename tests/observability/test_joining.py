"""What one scrape says of several processes: counts are added up and never go back, gauges by what they mean."""

import math
import re

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tornado_app.observability.joining import Family, Joined, families, join
from tornado_app.observability.metrics import Metrics
from tornado_app.observability.process import measure_process


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


def put(joined: Joined, *processes: Metrics) -> None:
    for number, metrics in enumerate(processes, 1):
        joined.put(number, families(metrics))


def test_counters_are_added_up_label_by_label(two, joined):
    one, other = two
    one.points.labels("A").inc(5)
    other.points.labels("A").inc(7)
    other.points.labels("B").inc(2)
    put(joined, *two)
    assert value(joined, "score_points_total", face="A") == 12
    assert value(joined, "score_points_total", face="B") == 2


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
    one.ready.set(1)
    one.ledger_writer.set_function(lambda: True)
    put(joined, *two)
    assert value(joined, "websocket_connections", face="A") == 7
    assert value(joined, "change_stream_lag_seconds") == math.inf
    assert value(joined, "ranked_players") == 1000
    assert value(joined, "ledger_writer") == 1
    assert value(joined, "ready") == 0


def test_what_a_process_had_counted_outlives_it_and_its_gauges_do_not(two, joined):
    for metrics in two:
        metrics.points.labels("A").inc(10)
        metrics.commit_size.observe(3)
        metrics.sockets.labels("A").set(5)
    put(joined, *two)
    for life in range(1, 4):
        joined.end(1)
        assert value(joined, "score_points_total", face="A") == 10 * (life + 1)
        assert value(joined, "group_commit_size_count") == life + 1
        assert value(joined, "websocket_connections", face="A") == 5
        one = Metrics()
        joined.put(1, families(one))  # its next life begins at nothing
        assert value(joined, "score_points_total", face="A") == 10 * (life + 1)
        one.points.labels("A").inc(10)
        one.commit_size.observe(3)
        joined.put(1, families(one))


def test_a_process_that_never_told_anything_may_end(joined):
    before = scraped(joined)
    joined.end(99)
    assert scraped(joined) == before


def test_every_gauge_says_what_several_of_it_make():
    metrics = Metrics()
    measure_process(metrics)
    gauges = {family.name for family in families(metrics) if family.kind == "gauge"}
    assert gauges == set(metrics.joins)


def test_what_several_processes_use_is_added_up(two, joined):
    for metrics in two:
        measure_process(metrics)
    put(joined, *two)
    for name in ("process_resident_memory_bytes", "process_open_fds"):
        assert value(joined, name) == pytest.approx(2 * two[0].registry.get_sample_value(name), rel=0.1)
    newest = two[0].registry.get_sample_value("process_start_time_seconds")
    assert value(joined, "process_start_time_seconds") == newest
    collections = value(joined, "python_gc_collections_total", generation="0")
    for process in (1, 2):
        joined.end(process)
    assert value(joined, "python_gc_collections_total", generation="0") == collections


def test_the_newest_example_of_all_processes_is_kept(two, joined):
    one, other = two
    for metrics, seconds, request in ((one, 0.002, "old"), (one, 0.9, "slow"), (other, 0.002, "new")):
        metrics.http_duration.labels("GET", "/x").observe(seconds, {"request_id": request})
    put(joined, *two)
    assert requests_shown(joined) == {"0.0025": "new", "1.0": "slow"}
    joined.end(2)
    assert requests_shown(joined) == {"0.0025": "new", "1.0": "slow"}


def requests_shown(joined):
    """The request that each bucket of the durations names, in the format that has room for it."""
    registry = CollectorRegistry()
    registry.register(joined)
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    pattern = (
        r'leaderboard_http_request_duration_seconds_bucket\{le="([\d.]+)",.*\} \S+ # \{request_id="(\w+)"\} \S+ \S+'
    )
    return dict(re.findall(pattern, encode(registry).decode()))


def test_it_goes_over_a_wire_and_comes_out_in_the_formats_of_prometheus(two):
    two[0].feed_lag.set(math.inf)
    two[0].http_requests.labels("GET", "/x", 200).inc()
    two[0].http_duration.labels("GET", "/x").observe(0.3, {"request_id": "r-1"})
    wire = msgspec.msgpack.encode(families(two[0]))
    back = msgspec.msgpack.decode(wire, type=list[Family])
    assert back == families(two[0])
    joined = Joined()
    joined.put(1, back)
    registry = CollectorRegistry()
    registry.register(joined)
    for accepted in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        encode, _ = choose_encoder(accepted)
        alone, together = encode(two[0].registry), encode(registry)
        assert sorted(together.splitlines()) == sorted(alone.splitlines())


def test_one_process_joined_is_itself(two):
    assert join([families(two[0])]) == families(two[0])
