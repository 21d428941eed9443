"""Each refusal has a code for the client, and a reason with its values in log and audit line."""

import ast
import contextlib
import inspect
import json
import re
import socket
import time
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.project import ROOT
from tests.support.raw_http import RawConnection
from tests.support.service import token
from tests.support.wait import wait_until
from tests.support.websocket_client import new_user
from tornado_app.auth.jws import InvalidJws
from tornado_app.core import errors
from tornado_app.http import errors as http_errors
from tornado_app.http import request_log as refusals

USER = "refused-1"
PLAYER = token(USER)
SERVER = token("game-1", scope="scores:write")
AUDITED = {"score_refused", "credentials_refused"}
FOREIGN = "scopes none, needs"


@pytest.fixture(scope="module")
def strict(run_service, module_database):
    uri, name = module_database
    flags = ("--max-connections-per-address", "2", "--max-points-per-window", "1000", "--rate-limit", "3/1h")
    return run_service(*flags, uri=uri, database=name, env={"LEADERBOARD_MAX_CONNECTIONS_PER_ADDRESS": None})


class Case(NamedTuple):
    """A refused request and its log lines. `audit`: the event of its audit line."""

    name: str
    method: str
    path: str
    body: object
    headers: dict[str, str]
    status: int
    error: str
    reason: str
    detail: str
    audit: str | None = None


def case(name, request, body, auth, answer, detail, *, audit=None, **headers):
    method, path = request.split()
    status, error, *reason = answer.split()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if auth is not None:
        sent["Authorization"] = auth if " " in auth or auth == "" else f"Bearer {auth}"
    return Case(name, method, path, body, sent, int(status), error, reason[0] if reason else error, detail, audit)


E = "POST /api/v1/score"
A = "POST /api/score"
W = "score_refused"
POINT = {"score": 1}
HISTORY = "GET /api/v1/players/someone-else/history"
SUSPEND = "POST /api/v1/admin/players/someone-else/suspend"

CASES = [
    case("no token", A, POINT, None, "401 missing_token", "no Authorization header", audit=W),
    case("basic auth", A, POINT, "Basic YWxhZGRpbg==", "401 missing_token wrong_scheme", "not Bearer", audit=W),
    case("two tokens", A, POINT, "Bearer a b", "401 invalid_token malformed_header", "more than one", audit=W),
    case("read, no token", HISTORY, None, None, "401 missing_token", "no Auth", audit="credentials_refused"),
    case("other player", E, {"user_id": "x", "score_increase": 1}, PLAYER, "403 user_mismatch",
         f"token is for '{USER}', the request for 'x'; {FOREIGN} scores:write", audit=W),
    case("too many points", A, {"score": 1001}, PLAYER, "400 invalid_increment max_increment",
         "1001 points, max_increment 1000, action_proof optional", audit=W),
    case("no number", A, {"score": "5"}, PLAYER, "400 invalid_body", "score: ", audit=W),
    case("overflow", E, {"user_id": "rich", "score_increase": 2**63 - 1}, SERVER, "403 suspicious_activity points_cap",
         "max_points_per_window 1000", audit=W),
    case("unknown type", "POST /api/scores/update", {"actionId": "1", "actionType": "nope"}, PLAYER,
         "400 unknown_action_type", "'nope' is not one of the 3", audit=W),
    case("unknown player", E, {"user_id": USER, "score_increase": 1}, PLAYER, "404 player_not_found",
         f"no player '{USER}', and this API creates none while auto_register is off", audit=W),
    case("compressed", A, POINT, PLAYER, "415 unsupported_media_type content_encoding", "'gzip'", audit=W,
         Content_Encoding="gzip"),
    case("form", A, POINT, PLAYER, "415 unsupported_media_type", "'text/plain'", audit=W, Content_Type="text/plain"),
    case("half a body", A, b'{"score": ', PLAYER, "400 invalid_json", "line 1, column", audit=W),
    case("not UTF-8", A, b'{"score": "\xff"}', PLAYER, "400 invalid_json", "not UTF-8", audit=W),
    case("long body", A, b" " * 20_000, PLAYER, "413 body_too_large", "20000 bytes, at most 16384"),
    case("long headers", A, POINT, PLAYER, "431 headers_too_large", "at most 18432", X_Long="x" * 19000),
    case("long path", f"GET /api/{'x' * 9000}", None, None, "404 not_found", "no such path"),
    case("method", "PUT /api/score", POINT, PLAYER, "405 method_not_allowed", "'PUT', allowed: OPTIONS, PATCH, POST"),
    case("path", "GET /api/nothing", None, None, "404 not_found", "no such path"),
    case("argument", "GET /api/v1/leaderboard?limit=x", None, None, "400 invalid_request", "limit: use an integer"),
    case("strange id", "GET /api/v1/players/a%00b", None, None, "404 player_not_found no_user_id", "user id"),
    case("no such player", "GET /api/v1/players/absent", None, None, "404 player_not_found", "creates a player"),
    case("other's history", HISTORY, None, PLAYER, "403 insufficient_scope", f"{FOREIGN} leaderboard:admin"),
    case("moderator?", SUSPEND, {"reason": "x"}, SERVER, "403 insufficient_scope",
         "scopes scores:write, needs leaderboard:admin"),
    case("no handshake", "GET /ws/score", None, None, "426 upgrade_required", "WebSocket",
         Upgrade="websocket", Connection="Upgrade"),
]  # fmt: skip


def lines(service, request_id):
    """The lines of refusals of a request, by event."""
    found = [json.loads(line) for line in service.log.splitlines() if f'"{request_id}"' in line]
    return {line["event"]: line for line in found if line.get("event", "").endswith("_refused")}


def causes(line):
    return line["error"], line["reason"], line["detail"]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_refused_request_has_its_reason_in_log_and_audit_line(strict, case):
    request_id = f"case-{uuid4().hex}"
    headers = {**case.headers, "X-Request-Id": request_id}
    answer = strict.call(case.method, case.path, case.body, headers=headers)
    assert (answer.status, answer.json["error"]) == (case.status, case.error), answer
    found = wait_until(lambda: lines(strict, request_id), what="the line")
    line = found["request_refused"]
    assert (line["level"], line["status"], line["error"], line["reason"]) == ("info", case.status, *causes(line)[:2])
    assert causes(line)[:2] == (case.error, case.reason)
    assert case.detail in line["detail"]
    assert len(line["path"]) <= refusals.MAX_PATH
    audited = {event: causes(each) for event, each in found.items() if event in AUDITED}
    if case.audit is None:
        assert not audited
    else:
        assert audited[case.audit] == causes(line)
    assert "eyJ" not in json.dumps(found)


def test_rate_limit_and_id_conflict_name_the_limit_and_the_id(strict):
    user = new_user()
    ids = [f"case-{uuid4().hex}" for _ in range(2)]
    for n in range(3):
        headers = {"Idempotency-Key": f"k-{n}"}
        assert strict.post("/api/score", POINT, token=token(user), headers=headers).status in (200, 201)
    strict.post("/api/score", POINT, token=token(user), headers={"X-Request-Id": ids[0]})
    again = {"X-Request-Id": ids[1], "Idempotency-Key": "k-1"}
    strict.post("/api/score", {"score": 2}, token=token(user), headers=again)
    limited, reused = (wait_until(lambda at=at: lines(strict, at)) for at in ids)
    for found, error, detail in (
        (limited, "rate_limited", r"rate_limit 3/3600s is used up, the next in 3\d{3}\.\d s"),
        (reused, "action_conflict", r"action id 'k-1' was used for other points or another type"),
    ):
        assert causes(found["request_refused"]) == causes(found["score_refused"])
        assert found["score_refused"]["error"] == error
        assert re.search(detail, found["score_refused"]["detail"])


def raw(service, data):
    place = urlsplit(service.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"GET / NONSENSE\r\n\r\n", 400, "malformed_http"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "malformed_http"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "header_count"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431, "headers_too_large"),
    ],
)
def test_malformed_request_has_its_reason_in_the_log(strict, data, status, reason):
    def written():
        found = [json.loads(line) for line in strict.log.splitlines() if "request_refused" in line]
        return [line for line in found if line["reason"] == reason]

    before = len(written())
    assert f" {status} ".encode() in raw(strict, data).splitlines()[0]
    line = wait_until(lambda: written()[before:])[0]
    assert (line["status"], line["remote"]) == (status, "127.0.0.1")
    assert line["detail"]


SOCKETS = [
    ("origin", {"origin": "https://evil.test"}, 4403, "origin_not_allowed", "origin_not_allowed",
     "origin 'https://evil.test' is not in allowed_origins, nor this host, '127.0.0.1:"),
    ("token", {"additional_headers": {"Authorization": "Basic x"}}, 4401, "missing_token", "wrong_scheme", "Bearer"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "code", "error", "reason", "detail"), [each[1:] for each in SOCKETS])
def test_refused_socket_has_its_reason_in_the_log(strict, options, code, error, reason, detail):
    assert refused(strict, **options) == (code, error)
    line = last_socket_line(strict, reason)
    assert (line["error"], line["close_code"], line["frontend"], line["remote"]) == (error, code, "A", "127.0.0.1")
    assert detail in line["detail"]


def test_sockets_beyond_the_limit_of_an_address_close_with_their_own_code(strict):
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connect(f"{strict.ws_url}/ws/score")).recv(10)
        assert refused(strict) == (4429, "too_many_connections")
    line = last_socket_line(strict, "sockets_of_address")
    assert line["detail"] == "127.0.0.1 has max_connections_per_address 2 open"
    assert strict.metric("leaderboard_websocket_refusals_total", reason="too_many_connections") == 1
    assert strict.metric("leaderboard_websocket_refusals_total", reason="rate_limited") == 0


def refused(service, **options):
    with connect(f"{service.ws_url}/ws/score", **options) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        return client.close_code, client.close_reason


def last_socket_line(service, reason):
    def found():
        lines = [json.loads(line) for line in service.log.splitlines() if '"event":"socket_refused"' in line]
        return [line for line in lines if line["reason"] == reason]

    return wait_until(found, what="the line")[-1]


def test_refusals_beyond_the_log_rate_are_counted(strict):
    """At most 5 lines per second and client; the first of a later second has the number of suppressed ones."""
    user, began = new_user(), time.monotonic()

    def asked_and_written():
        strict.post("/api/scores/update", {"actionId": "1", "actionType": user}, token=token(user))
        found = [json.loads(line) for line in strict.log.splitlines() if user in line]
        return [line for line in found if line["event"] == "score_refused"]

    for _ in range(60):
        found = asked_and_written()
    sent = 60
    assert len(found) <= 5 * (int(time.monotonic() - began) + 2)
    while "suppressed" not in found[-1]:  # until one is of a later second, which counts those before it
        found, sent = asked_and_written(), sent + 1
    assert len(found) + sum(line.get("suppressed", 0) for line in found) == sent
    refusals = strict.metric("leaderboard_score_submissions_total", frontend="C", result="unknown_action_type")
    assert refusals >= sent


def test_untrusted_proxy_is_logged_once(run_service, module_database):
    uri, name = module_database
    service = run_service(uri=uri, database=name)
    for n in range(3):
        service.get("/api/top-scores", headers={"X-Forwarded-For": f"203.0.113.{n}"})
    with connect(f"{service.ws_url}/ws/score", additional_headers={"X-Forwarded-For": "203.0.113.9"}) as client:
        client.recv(10)
    (line,) = [json.loads(line) for line in service.log.splitlines() if "proxy_not_trusted" in line]
    assert (line["level"], line["remote"]) == ("warning", "127.0.0.1")
    for text in ("127.0.0.1", "trusted_proxies", "count as one address", "max_connections_per_address"):
        assert text in line["message"]


def reasons(call):
    """The texts that a call passes as `reason`."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
    constants = [node for value in given for node in ast.walk(value) if isinstance(node, ast.Constant)]
    return {node.value for node in constants if isinstance(node.value, str)}


def test_docs_list_the_reasons_of_the_code():
    assert issubclass(
        http_errors.BadRequest, errors.LeaderboardError
    )  # so that the subclasses of both modules are known
    kinds = {kind.__name__ for kind in subclasses(errors.LeaderboardError)} | {"InvalidJws", "UnknownKey", "_other"}
    used = {inspect.signature(InvalidJws).parameters["reason"].default}
    for path in (ROOT / "tornado_app").rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        named = [call for call in calls if getattr(call.func, "attr", getattr(call.func, "id", "")) in kinds]
        used |= {reason for call in named for reason in reasons(call)}
    text = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8").partition("## Refusals")[2].partition("\n## ")[0]
    cells = re.findall(r"(?m)^\| (`\w+`(?:, `\w+`)*) \|", text)
    assert set(re.findall(r"\w+", " ".join(cells))) - {"reason"} == used


def subclasses(kind):
    return {kind} | {each for child in kind.__subclasses__() for each in subclasses(child)}


def test_invalid_claim_of_any_name_is_refused_on_both_paths(run_service, module_database):
    uri, name = module_database
    odd = run_service("--jwt-user-claim", 'Spieler-"Nr\\✓', uri=uri, database=name)
    sentence = 'The token names no user (Spieler-"Nr\\✓).'
    with RawConnection(odd.url) as wire:
        for before in ("", "\r\n"):  # the second is Tornado's to read
            wire.send(f"{before}GET /api/leaderboard HTTP/1.1", f"Authorization: Bearer {PLAYER}")
            answer = wire.read()
            assert (answer.status, json.loads(answer.body)["message"]) == (401, sentence)
            description = 'error_description="The token names no user (Spieler-?Nr??)."'
            assert answer.headers["www-authenticate"].endswith(description)


def test_refused_handshake_names_the_client_behind_the_proxy(run_service, module_database):
    uri, name = module_database
    behind = run_service("--trusted-proxies", "127.0.0.1", uri=uri, database=name)
    for path, status in (("/ws/score", 426), ("/ws/none", 404)):
        headers = {"Upgrade": "websocket", "X-Forwarded-For": "198.51.100.7"}
        assert behind.get(path, headers=headers).status == status
        found = [json.loads(line) for line in behind.log.splitlines() if f'"{path}"' in line]
        assert [line["remote"] for line in found if line.get("event") == "request_refused"] == ["198.51.100.7"]
