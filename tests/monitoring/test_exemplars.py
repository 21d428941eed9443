"""From a bucket of the durations to a request, as Grafana asks for it: by a real Prometheus."""

import time
from urllib.parse import urlsplit

import pytest

from tests.support.prometheus import Prometheus
from tests.support.service import RunningService
from tests.support.wait import wait_until

QUERY = 'leaderboard_http_request_duration_seconds_bucket{route="/healthz"}'


@pytest.mark.parametrize("processes", ["1", "2"])
def test_exemplar_in_prometheus_has_a_trace_id(tmp_path, mongo_database, processes):
    uri, name = mongo_database
    service = RunningService("--processes", processes, uri=uri, database=name)
    try:
        service.start(tmp_path / "log")
        service.get("/healthz", headers={"X-Request-Id": "r-1"})
        target = {"targets": [urlsplit(service.metrics_url).netloc]}
        query = {"query": QUERY, "start": str(time.time() - 60), "end": str(time.time() + 600)}
        with Prometheus(tmp_path / "prometheus", [{"job_name": "leaderboard", "static_configs": [target]}]) as running:
            (found,) = wait_until(lambda: running.api("/api/v1/query_exemplars", **query), 60, "exemplars")
    finally:
        service.close()
    assert [each["labels"] for each in found["exemplars"]] == [{"request_id": "r-1"}]
