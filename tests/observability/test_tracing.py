"""Spans of a real service at a collector: their content, what they never contain, and faults of the collector."""

import json
import os
import secrets
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from operator import attrgetter

import pytest
from websockets.sync.client import connect

from tests.support.collector import Collector
from tests.support.service import KEY, RunningService, token
from tests.support.wait import wait_until
from tornado_app.mongo.embedded.mongod import free_port

pytestmark = pytest.mark.long

INTERNAL, SERVER, CLIENT = 1, 2, 3
WAY = ["POST /api/score", "submit", "group commit", "board refresh", "broadcast"]


def traceparent(flags="01"):
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    return trace, parent, {"traceparent": f"00-{trace}-{parent}-{flags}"}


@contextmanager
def running(tmp_path, database, env, *flags, **options):
    uri, name = database
    service = RunningService("--rate-limit", "1000/1m", *flags, uri=uri, database=name, env=env, **options)
    try:
        yield service.start(tmp_path / "log")
    finally:
        service.close()


@pytest.fixture(scope="module")
def collector():
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def service(tmp_path_factory, module_database, collector):
    with running(tmp_path_factory.mktemp("service"), module_database, collector.environment) as service:
        yield service


def trace_of(collector, trace, names):
    """The spans of a trace, in the order of their beginnings, once there is one of each name."""

    def come():
        spans = [span for span in collector.spans if span.trace == trace]
        return {span.name for span in spans} >= set(names) and sorted(spans, key=attrgetter("begin"))

    return wait_until(come, what=f"spans of one trace: {names}")


def test_trace_of_an_update_continues_from_request_to_frame(tmp_path, mongo_database, collector):
    trace, parent, headers = traceparent()
    with running(tmp_path, mongo_database, collector.environment) as service:
        with connect(f"{service.ws_url}/ws/leaderboard") as client:
            client.recv(timeout=20)
            answer = service.post("/api/score", {"score": 5}, token=token("ann"), headers=headers)
            client.recv(timeout=20)
        spans = trace_of(collector, trace, WAY)
    assert [span.name for span in spans] == WAY
    assert [span.parent for span in spans] == [parent, *(span.id for span in spans[:-1])]
    assert [span.kind for span in spans] == [SERVER, INTERNAL, CLIENT, INTERNAL, INTERNAL]
    assert not any(span.failed for span in spans)
    assert [span.attributes for span in spans] == [
        {
            "http.request.method": "POST",
            "http.route": "/api/score",
            "http.response.status_code": 201,
            "http.response.header.x-request-id": [answer.headers["X-Request-Id"]],
        },
        {"leaderboard.frontend": "A", "leaderboard.result": "accepted"},
        {"db.system.name": "mongodb", "leaderboard.batch.size": 1},
        {"leaderboard.board": "main"},
        {"leaderboard.board": "main", "leaderboard.clients": 1},
    ]
    assert spans[0].resource["service.name"] == "leaderboard"


def test_trace_id_is_logged_for_a_request_without_traceparent(service, collector):
    answer = service.post("/api/score", {"score": 1}, token=token("logged"))
    lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("request_id") == answer.headers["X-Request-Id"]]
    trace_of(collector, line["trace_id"], WAY[:3])


def test_trace_of_requests_in_one_batch_links_to_it(service, collector):
    people = [token(f"many{n}") for n in range(8)]

    def shared():
        with ThreadPoolExecutor(len(people)) as pool:
            list(pool.map(lambda each: service.post("/api/score", {"score": 1}, token=each), people))
        return next((span for span in collector.named("group commit") if len(span.links) > 1), None)

    commit = wait_until(shared, what="a batch of two")
    assert commit.attributes["leaderboard.batch.size"] == len(commit.links)

    def members():
        found = [span for span in collector.named("submit") if span.id in commit.links]
        return len(found) == len(commit.links) and found

    submits = wait_until(members, what="all that share it")
    assert len({span.trace for span in submits}) == len(submits)
    assert {tuple(span.links) for span in submits} == {(), (commit.id,)}
    assert [span.id for span in submits if not span.links] == [commit.parent]


def test_trace_of_refusal_replay_and_unknown_path(service, collector):
    trace, _, headers = traceparent()
    headers["Idempotency-Key"] = "once"
    for points in (1, 1, 2):
        service.post("/api/score", {"score": points}, token=token("again"), headers=headers)
    service.call("BREW", "/nowhere", headers=headers)

    def results():
        found = [span for span in collector.spans if span.trace == trace]
        results_found = {span.attributes["leaderboard.result"] for span in found if span.name == "submit"}
        return {"HTTP"} <= {span.name for span in found} and len(results_found) == 3 and (found, results_found)

    spans, results_found = wait_until(results, what="the spans of all four")
    assert results_found == {"accepted", "replayed", "action_conflict"}
    unknown = next(span for span in spans if span.name == "HTTP")
    assert unknown.attributes["http.request.method"] == "_OTHER"
    assert "http.route" not in unknown.attributes


def test_trace_has_no_player_data_and_no_credentials(service, collector):
    player, name, bearer = "player-4711", "Name-4711", token("player-4711", name="Name-4711")
    trace, _, headers = traceparent()
    service.post("/api/score", {"score": 5}, token=bearer, headers=headers)
    service.post(f"/api/score?token={bearer}", {"score": 5}, token=bearer, headers=headers)
    service.get(f"/api/v1/players/{player}?token={bearer}", headers=headers)
    service.post("/api/v1/score", {"user_id": player, "score_increase": 0}, token=bearer, headers=headers)
    others = ["GET /api/v1/players/{user_id}", "POST /api/v1/score"]
    wait_until(lambda: {*WAY[:3], *others} <= {span.name for span in collector.spans if span.trace == trace})
    sent = b"".join(collector.bodies)
    assert b"/api/v1/players/{user_id}" in sent
    for secret in (player, name, bearer, bearer.split(".")[2], KEY, "mongodb://", "127.0.0.1"):
        assert secret.encode() not in sent


@pytest.mark.parametrize(
    "given", ["x", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01", "00-" * 2000]
)
def test_trace_of_an_invalid_traceparent_is_new(service, collector, given):
    before = len(collector.spans)
    answer = service.get(
        "/api/top-scores", headers={"traceparent": given, "tracestate": "x" * 600, "baggage": "x" * 99}
    )
    span = wait_until(
        lambda: next(
            (
                span
                for span in collector.spans[before:]
                if span.attributes.get("http.response.header.x-request-id") == [answer.headers["X-Request-Id"]]
            ),
            None,
        )
    )
    assert span.parent == ""
    assert "opentelemetry" not in service.log


def test_trace_follows_the_sampling_decision(tmp_path, mongo_database, collector):
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    env = {**collector.environment, **sampler, "OTEL_SERVICE_NAME": secrets.token_hex(8)}
    trace, _, wanted = traceparent()
    with running(tmp_path, mongo_database, env) as service:
        service.post("/api/score", {"score": 5}, token=token("ann"), headers=wanted)
        trace_of(collector, trace, WAY)
        for headers in ({}, traceparent("00")[2]):
            assert service.post("/api/score", {"score": 5}, token=token("ann"), headers=headers).status == 200
        assert service.stop() == 0
    assert {span.trace for span in collector.spans if span.resource["service.name"] == env["OTEL_SERVICE_NAME"]} == {
        trace
    }


def test_trace_exports_the_last_spans_before_exit(tmp_path, mongo_database, collector):
    trace, _, headers = traceparent()
    with running(tmp_path, mongo_database, {**collector.environment, "OTEL_BSP_SCHEDULE_DELAY": "600000"}) as service:
        service.get("/api/top-scores", headers=headers)
        assert service.stop() == 0
    assert [span.name for span in collector.spans if span.trace == trace] == ["GET /api/top-scores"]


def test_trace_exporter_exists_per_process(tmp_path, mongo_database, collector):
    env = {**collector.environment, "OTEL_SERVICE_NAME": secrets.token_hex(8)}

    def instances():
        service.get("/api/top-scores")
        resources = (
            span.resource for span in collector.spans if span.resource["service.name"] == env["OTEL_SERVICE_NAME"]
        )
        return len({resource["service.instance.id"] for resource in resources}) == 2

    with running(tmp_path, mongo_database, env, "--processes", "2") as service:
        wait_until(instances, what="spans of two processes")
        assert service.stop() == 0


@pytest.mark.parametrize(
    ("refuses", "drain_timeout", "last_words"),
    [
        (True, "10s", "sending the last spans timed out"),
        (False, "10s", "sending the last spans timed out"),
        (False, "1s", "shutdown deadline exceeded"),
    ],
    ids=["refuses", "is silent", "is silent and there is no time"],
)
def test_trace_collector_outage_does_not_affect_requests(tmp_path, mongo_database, refuses, drain_timeout, last_words):
    with Collector() as down:
        down.answers.clear()
        env = {**down.environment, "OTEL_BSP_MAX_QUEUE_SIZE": "16", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
        if refuses:
            env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
        with running(tmp_path, mongo_database, env, "--drain-timeout", drain_timeout) as service:
            for _ in range(40):  # many times what the queue holds
                assert service.post("/api/score", {"score": 1}, token=token("ann")).status in (200, 201)
            service.signal(signal.SIGTERM)
            assert service.wait(15) == 0
            assert last_words in service.log
            assert "Traceback" not in service.log


@pytest.mark.parametrize(
    ("env", "imported"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
    ],
    ids=["unset", "none", "disabled", "otlp"],
)
def test_opentelemetry_is_imported_only_if_enabled(tmp_path, mongo_database, env, imported):
    program = (
        "import atexit, sys; from tornado_app.__main__ import main;"
        "atexit.register(lambda: print('imported:', 'opentelemetry' in sys.modules)); main()"
    )
    with running(tmp_path, mongo_database, env, program=("-c", program)) as service:
        assert service.post("/api/score", {"score": 1}, token=token("ann")).status == 201
        service.stop()
        assert f"imported: {imported}" in service.log


def test_tracing_without_the_extra_names_what_to_install(mongo_database):
    uri, name = mongo_database
    program = (
        "import sys; sys.modules['opentelemetry'] = None; "
        "from tornado_app.cli.main import main; sys.exit(main(['serve']))"
    )
    env = {"LEADERBOARD_MONGODB_URI": uri, "LEADERBOARD_MONGODB_DATABASE": name, "LEADERBOARD_JWT_KEY": KEY}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **env, "LEADERBOARD_ACTION_PROOF": "optional", "OTEL_TRACES_EXPORTER": "otlp"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: OTEL_TRACES_EXPORTER is otlp, but OpenTelemetry is not installed: pip install 'leaderboard[tracing]'"
    )
