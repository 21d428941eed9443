"""docs/logs.md names every event and field: those that the code can write, and those that a real service wrote."""

import ast
import contextlib
import http.client
import json
import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from tests.support.service import RunningService, token
from tests.support.wait import wait_until

PROJECT = Path(__file__).parents[1]
PAGE = (PROJECT / "docs" / "logs.md").read_text(encoding="utf-8")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ADMIN = token("mod", scope="leaderboard:admin")


def names(cell):
    return set(re.findall(r"`(\w+)`", cell))


def told_events():
    """The fields of each event, by the page."""
    rows = re.findall(r"^\| `(\w+\.?\w+)` \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)
    found = {}
    for event, fields in rows:
        found[event] = found["score.accepted"] if fields == "the same" else names(fields)
    return found


def told_fields():
    """The fields that the page has a row for, of every line and of the rest."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]+ \|$", PAGE, re.MULTILINE)
    return set().union(*map(names, rows))


# -- what the code can write ------------------------------------------------------------------------------


def written():
    """The dicts that are passed as `extra` anywhere, or are a part of one."""
    for path in (PROJECT / "tornado_app").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        extras = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "extra"]
        used = {name.id for extra in extras for name in ast.walk(extra) if isinstance(name, ast.Name)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and any(getattr(target, "id", "") in used for target in node.targets):
                extras.append(node.value)
        for extra in extras:
            yield from (node for node in ast.walk(extra) if isinstance(node, ast.Dict))


def keys(found):
    return {key.value for key in found.keys if isinstance(key, ast.Constant)}


def test_every_field_that_the_code_can_write_is_told():
    found = set().union(*map(keys, written()))
    assert len(found) > 30
    assert found - told_fields() - set().union(*told_events().values()) - {"event"} == set()


def test_every_event_that_the_code_can_write_is_told():
    found = set()
    for node in written():
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "event" and isinstance(value, ast.Constant):
                found.add(value.value)
    assert found | {"score.accepted", "score.replayed", "score.refused"} == set(told_events())


def test_an_eviction_has_the_fields_that_are_told():
    """A real one takes a client that does not read for ten seconds."""
    (found,) = [node for node in written() if "socket.evicted" in [getattr(each, "value", "") for each in node.values]]
    assert keys(found) == told_events()["socket.evicted"] | {"event"}


# -- what a service wrote ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(tmp_path_factory, module_database):
    uri, name = module_database
    flags = ("--access-log", "--max-points-per-window", "50", "--auto-register")
    service = RunningService(*flags, uri=uri, database=name)
    yield service.start(tmp_path_factory.mktemp("service") / "log")
    service.close()


def lines(service):
    return [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]


def of_event(service, event):
    return [line for line in lines(service) if line.get("event") == event]


def everything_happens(service):
    """Each event of a request, a socket, a score and a moderation, in all of its forms."""
    action = {"actionId": "a-1", "actionType": "level_complete"}
    for body in (action, action, {**action, "actionId": "a-2"}, {"actionId": 7}):
        service.post("/api/scores/update", body, token=token("ann"))
    service.post("/api/score", {"score": 1})
    with connect(f"{service.ws_url}/ws/score") as socket:
        socket.recv()
    for points in (9, 60):
        service.post("/api/score", {"score": points}, token=token("bob"))
    for verb in ("suspend", "reinstate", "erase"):
        service.post(f"/api/v1/admin/players/bob/{verb}", {"reason": "a look"}, token=ADMIN)
    service.get("/api/v1/admin/players/ann/export", token=ADMIN)
    wait_until(lambda: of_event(service, "socket.ended"))


def test_a_service_writes_the_events_with_the_fields_that_are_told(service):
    everything_happens(service)
    always = {"ts", "level", "logger", "message", "request_id", "event"}
    fields = defaultdict(set)
    for line in lines(service):
        if "event" in line:
            assert always <= set(line), line
            fields[line["event"]] |= set(line) - always
    assert dict(fields) == {event: told for event, told in told_events().items() if event != "socket.evicted"}
    assert "eyJ" not in service.log


def test_the_access_log_tells_of_a_request_and_never_its_query(service):
    header = f"00-{TRACE}-00f067aa0ba902b7-01"
    service.get("/api/v1/players/nobody?token=secret-word", headers={"X-Request-Id": "r-9", "traceparent": header})
    (line,) = wait_until(lambda: [line for line in of_event(service, "http.request") if line["request_id"] == "r-9"])
    assert (line["logger"], line["level"], line["trace_id"]) == ("leaderboard.access", "info", TRACE)
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/v1/players/nobody", 404)
    assert line["route"] == "/api/v1/players/{user_id}"
    assert (line["remote"], line["bytes"]) == ("127.0.0.1", len(service.get("/api/v1/players/nobody").body))
    assert 0 < line["seconds"] < 60
    assert "secret-word" not in service.log


@pytest.mark.parametrize("processes", ["1", "2"])
def test_it_is_off_unless_asked_for(tmp_path, mongo_database, processes):
    uri, name = mongo_database
    service = RunningService("--processes", processes, uri=uri, database=name)
    try:
        service.start(tmp_path / "log")
        service.get("/healthz", headers={"X-Request-Id": "r-1"})
        service.post("/api/score", {"score": 1}, token=token("ann"), headers={"X-Request-Id": "r-2"})
        wait_until(lambda: of_event(service, "score.accepted"))
        assert of_event(service, "http.request") == []
    finally:
        service.close()


def test_an_id_of_one_request_is_not_on_the_next_of_its_connection(service):
    place = urlsplit(service.url)
    with contextlib.closing(http.client.HTTPConnection(place.hostname, place.port, timeout=30)) as connection:
        for headers in (
            {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-Id": "first-1"},
            {"X-Request-Id": "second-1"},
        ):
            connection.request("GET", "/healthz", headers=headers)
            connection.getresponse().read()
    found = {line["request_id"]: line.get("trace_id") for line in of_event(service, "http.request")}
    assert (found["first-1"], found["second-1"]) == (TRACE, None)


def test_a_handshake_has_a_request_id_too(service):
    with connect(f"{service.ws_url}/ws/score", additional_headers={"X-Request-Id": "hand-1"}) as socket:
        assert socket.response.headers["X-Request-Id"] == "hand-1"
        socket.recv()
        socket.close(4000, "bye")
    (line,) = wait_until(lambda: [each for each in of_event(service, "socket.ended") if each["request_id"] == "hand-1"])
    assert (line["face"], line["code"]) == ("A", 4000)
