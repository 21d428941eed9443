"""The service writes the events and fields of docs/logs.md, and the access log if enabled."""

import contextlib
import http.client
import json
import re
from collections import defaultdict
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.project import ROOT
from tests.support.service import RunningService, token
from tests.support.wait import wait_until

PAGE = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
ADMIN = token("mod", scope="leaderboard:admin")
ELSEWHERE = {"eviction", "shedding", "cut_off", "late_update"}
"""Events of clients that stall, of overload and of faults, which other tests cause."""
ALWAYS = {"ts", "level", "logger", "message", "request_id", "event"}


def documented_events():
    """Levels, logger and fields of each event, by the page."""
    found = {}
    for event, levels, logger, fields in re.findall(
        r"(?m)^\| `(\w+)` \| ([^|]+) \| `([\w.]+)` \| [^|]+ \| (.+) \|$", PAGE
    ):
        same = found["score_accepted"][2] if fields.startswith("the same") else set()
        own = set(re.findall(r"`(\w+)`", fields))
        without = {"score"} if event == "score_refused" else set()
        found[event] = set(re.findall(r"info|warning", levels)), logger, (same | own) - without
    return found


@pytest.fixture(scope="module")
def service(tmp_path_factory, module_database):
    uri, name = module_database
    flags = ("--access-log", "--max-points-per-window", "50", "--auto-register")
    service = RunningService(*flags, uri=uri, database=name)
    yield service.start(tmp_path_factory.mktemp("service") / "log")
    service.close()


def of_event(service, *events):
    lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") in events]


def everything_happens(service):
    """Each event in all of its forms, but for an eviction: a client would have to stall for ten seconds."""
    action = {"actionId": "a-1", "actionType": "level_complete"}
    for body in (action, action, {**action, "actionId": "a-2"}, {"actionId": 7}):
        service.post("/api/scores/update", body, token=token("ann"))
    service.post("/api/score", {"score": 1}, headers={"X-Forwarded-For": "203.0.113.9"})
    with connect(f"{service.ws_url}/ws/score") as socket:
        socket.recv()
    with connect(f"{service.ws_url}/ws/score?token=wrong") as socket, contextlib.suppress(ConnectionClosed):
        socket.recv()
    for points in (9, 60):
        service.post("/api/score", {"score": points}, token=token("bob"))
    for verb in ("suspend", "reinstate", "erase"):
        service.post(f"/api/v1/admin/players/bob/{verb}", {"reason": "a look"}, token=ADMIN)
    service.get("/api/v1/admin/players/ann/export", token=ADMIN)
    service.get("/api/v1/admin/players/ann/export", token=token("bob"))
    for body in ({"username": "Ann"}, {"username": 7}):
        service.call("PUT", "/api/v1/players/ann", body, token=token("ann"))
    wait_until(lambda: of_event(service, "socket_ended"))


def test_service_writes_the_documented_events_and_fields(service):
    everything_happens(service)
    expected = {event: row for event, row in documented_events().items() if event not in ELSEWHERE}
    assert len(expected) == 14
    fields = defaultdict(set)
    for line in of_event(service, *expected):
        levels, logger, _ = expected[line["event"]]
        assert set(line) >= ALWAYS, line
        assert line["level"] in levels, line
        assert line["logger"] == logger
        fields[line["event"]] |= set(line) - ALWAYS
    # of another rule (tests/api/test_rules.py), board (tests/service/test_boards.py) and period (…/test_periods.py)
    elsewhere = {"submitted", "board", "period", "epoch"}
    assert dict(fields) == {event: row[2] - elsewhere for event, row in expected.items()}
    assert "eyJ" not in service.log


def test_access_log_has_the_request_without_its_query(service):
    path = "/api/v1/players/nobody"
    answer = service.get(f"{path}?token=secret-word", headers={"X-Request-Id": "r-9", "traceparent": PARENT})
    (line,) = wait_until(lambda: [line for line in of_event(service, "request") if line["request_id"] == "r-9"])
    assert (line["level"], line["trace_id"], line["remote"]) == ("info", TRACE, "127.0.0.1")
    assert (line["method"], line["path"], line["status"]) == ("GET", path, 400)  # the argument is not known
    assert (line["route"], line["bytes"]) == ("/api/v1/players/{user_id}", len(answer.body))
    assert 0 < line["seconds"] < 60
    assert "secret-word" not in service.log


def test_access_log_ids_are_not_reused_by_the_next_request(service):
    """Not even where the answer comes before the request was read whole, as that to a body that is too large does."""
    place = urlsplit(service.url)
    with contextlib.closing(http.client.HTTPConnection(place.hostname, place.port, timeout=30)) as connection:
        connection.request("GET", "/healthz", headers={"traceparent": PARENT, "X-Request-Id": "first-1"})
        connection.getresponse().read()
        connection.putrequest("POST", "/api/score")
        for name, value in (("X-Request-Id", "second-1"), ("Content-Length", "1048577")):
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == 413
    lines = wait_until(lambda: [line for line in of_event(service, "request") if line["status"] == 413])
    assert [(line["request_id"], line.get("trace_id")) for line in lines] == [("second-1", None)]


def test_access_log_of_a_socket_has_the_ids_of_its_handshake(service):
    headers = {"X-Request-Id": "hand-1", "traceparent": PARENT}
    with connect(f"{service.ws_url}/ws/score", additional_headers=headers) as socket:
        assert socket.response.headers["X-Request-Id"] == "hand-1"
        socket.recv()
        socket.close(4000, "bye")
    (line,) = wait_until(lambda: [each for each in of_event(service, "socket_ended") if each["request_id"] == "hand-1"])
    assert (line["frontend"], line["code"], line["trace_id"]) == ("A", 4000, TRACE)


def test_access_log_text_is_one_short_line_per_request(tmp_path, mongo_database):
    uri, name = mongo_database
    service = RunningService("--access-log", "--log-format", "text", uri=uri, database=name)
    try:
        service.start(tmp_path / "log")
        service.get("/api/top-scores?limit=3")
        line = r"(?m)^\S+Z INFO    access: GET /api/top-scores (\d+) \d+ B \d+\.\d ms$"
        assert wait_until(lambda: re.search(line, service.log))
    finally:
        service.close()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_access_log_is_off_by_default(tmp_path, mongo_database, processes):
    uri, name = mongo_database
    service = RunningService("--processes", processes, uri=uri, database=name)
    try:
        service.start(tmp_path / "log")
        service.get("/healthz")
        service.post("/api/score", {"score": 1}, token=token("ann"))
        wait_until(lambda: of_event(service, "score_accepted"))
        assert of_event(service, "request") == []
    finally:
        service.close()
