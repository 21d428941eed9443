"""What a scrape says: series of known labels from the start, none whose label came from outside, and examples."""

import contextlib
import http.client
import json
import re
import time
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.prometheus import Prometheus
from tests.support.service import RunningService, token
from tests.support.wait import wait_until
from tornado_app.mongo.commands import COMMANDS

FACES = {"A", "B", "C", "D", "E"}


@pytest.fixture
def start(tmp_path, mongo_database):
    """Starts a service that ends with the test."""
    uri, name = mongo_database
    with contextlib.ExitStack() as stack:

        def start(*flags):
            service = RunningService(*flags, uri=uri, database=name)
            stack.callback(service.close)
            return service.start(tmp_path / "log")

        yield start


@pytest.fixture
def service(start):
    return start()


def series(service):
    """Each sample's value by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(service.scrape().body.decode())
        for sample in family.samples
    }


def values(service, name, label):
    """The values that a label of a metric has."""
    return {dict(labels).get(label) for found, labels in series(service) if found == name}


def test_what_rarely_happens_is_there_at_0_from_the_start(service):
    found = series(service)
    for name, labels in (
        ("http_requests", {"method": "POST", "route": "/api/score", "code": "500"}),
        ("http_requests", {"method": "GET", "route": "/api/v1/players/{user_id}", "code": "500"}),
        ("score_submissions", {"face": "A", "result": "accepted"}),
        ("score_submissions", {"face": "E", "result": "database_error"}),
        ("score_submissions", {"face": "C", "result": "suspicious_activity"}),
        ("score_points", {"face": "D"}),
        ("websocket_messages", {"face": "C"}),
        ("websocket_evictions", {"reason": "stalled"}),
        ("change_stream_restarts", {"reason": "interrupted"}),
        ("change_stream_restarts", {"reason": "history_lost"}),
        ("rank_checks", {"result": "differed"}),
        ("suspicious", {"rule": "jump"}),
        ("ledger_entries", {"kind": "foreign"}),
    ):
        assert found[f"leaderboard_{name}_total", frozenset(labels.items())] == 0, name
    for command in COMMANDS:
        labels = frozenset({"command": command}.items())
        assert ("leaderboard_mongodb_command_duration_seconds_count", labels) in found
    assert found["leaderboard_ready", frozenset()] == 1
    assert found["leaderboard_websocket_connections", frozenset({"face": "C"}.items())] == 0


OPENMETRICS = "application/openmetrics-text"
EXEMPLAR = re.compile(
    r'leaderboard_http_request_duration_seconds_bucket\{le="\S+",method="GET",route="/healthz"\} \S+'
    r' # \{request_id="r-1"\} 0\.\d+ \d+\.\d+'
)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_bucket_names_one_of_its_requests(start, processes):
    service = start("--processes", processes)
    service.get("/healthz", headers={"X-Request-Id": "r-1"})
    open_metrics = service.scrape(f"{OPENMETRICS};version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2")
    assert open_metrics.headers["Content-Type"].startswith(f"{OPENMETRICS}; version=1.0.0")
    assert open_metrics.body.endswith(b"# EOF\n")
    assert EXEMPLAR.search(open_metrics.body.decode())
    text = service.scrape("*/*")
    assert text.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"r-1" not in text.body


def test_prometheus_leads_from_a_slow_answer_to_its_request(start, tmp_path):
    service = start()
    service.get("/healthz", headers={"X-Request-Id": "r-1"})
    target = urlsplit(service.metrics_url).netloc
    scrape = [{"job_name": "leaderboard", "static_configs": [{"targets": [target]}]}]
    asked = {
        "query": 'leaderboard_http_request_duration_seconds_bucket{route="/healthz"}',
        "start": str(time.time() - 60),
        "end": str(time.time() + 600),
    }
    with Prometheus(tmp_path / "prometheus", scrape) as prometheus:
        wait_until(
            lambda: prometheus.query("up") and prometheus.api("/api/v1/query_exemplars", **asked), 60, "exemplars"
        )
        (found,) = prometheus.api("/api/v1/query_exemplars", **asked)
    assert [each["labels"] for each in found["exemplars"]] == [{"request_id": "r-1"}]


def strange_requests(service):
    """Send what nobody serves: paths, methods, bodies, tokens and ids, each with a mark that no label may hold."""
    place = urlsplit(service.url)
    for method, path, body in (
        ("GET", "/mark/of/nobody", None),
        ("MARK", "/api/score", None),
        ("PROPFIND", "/mark", None),
        ("DELETE", "/api/v1/players/mark", None),
        ("GET", "/api/v1/players/mark", None),
        ("GET", "/api/v1/leaderboard?after=mark&limit=mark", None),
        ("POST", "/api/score", {"score": "mark"}),
        ("POST", "/api/scores/update", {"actionId": "mark", "actionType": "mark"}),
        ("POST", "/api/actions", {"user_id": "mark", "action_id": "mark:mark"}),
    ):
        for credentials in ({}, {"Authorization": "Bearer mark"}, {"Authorization": f"Bearer {token('mark')}"}):
            connection = http.client.HTTPConnection(place.hostname, place.port, timeout=10)
            headers = {**credentials, "Content-Type": "application/json", "X-Request-Id": "mark", "X-Mark": "mark"}
            connection.request(method, path, body and json.dumps(body), headers)
            connection.getresponse().read()
            connection.close()


def strange_sockets(service):
    """Sockets at no path, with a bad token, and with close codes and reasons of the client's own."""
    for path in ("/ws/mark", "/ws/score?token=mark", "/ws/leaderboard"):
        with contextlib.suppress(InvalidStatus, ConnectionClosed), connect(f"{service.ws_url}{path}") as socket:
            socket.recv()
            socket.close(4999, "mark")


def test_no_label_comes_from_outside(service):
    strange_requests(service)
    strange_sockets(service)
    wait_until(lambda: service.metric("leaderboard_websocket_connections") == 0)
    found = series(service)
    assert "mark" not in {value for _, labels in found for _, value in labels}
    methods = values(service, "leaderboard_http_requests_total", "method")
    assert "other" in methods
    assert methods <= {"GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "other"}
    assert "none" in values(service, "leaderboard_http_requests_total", "route")
    for name in ("score_submissions_total", "score_points_total", "websocket_connections", "websocket_messages_total"):
        assert values(service, f"leaderboard_{name}", "face") <= FACES


def test_strangers_make_no_more_series_the_longer_they_try(service):
    strange_requests(service)
    series(service)  # being asked for the metrics is a request too
    once = set(series(service))
    strange_requests(service)
    strange_requests(service)
    assert set(series(service)) == once
