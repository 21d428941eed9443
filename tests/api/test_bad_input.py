"""Invalid requests through every frontend get the API's own error, and do not change the board.

The table is in bad_input.py; its rows are sent over one connection that stays open. Source: the API contract,
section 5.
"""

import http.client
import json
import re
from urllib.parse import urlsplit

import pytest

from tests.support.bad_input import ALLOWED, AUTHORIZED, PLAYERS, SCORE, VICTIM, rows
from tests.support.frontends import WRITES
from tests.support.service import token
from tests.support.wait import wait_until

INTERNALS = re.compile(r"Traceback|Error\b|File \"|msgspec|tornado|pymongo|`|\$\.|<\w+")


class Client:
    """One connection for all rows, so that a refusal that closes it is noticed."""

    def __init__(self, url):
        place = urlsplit(url)
        self._connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)

    def send(self, method, path, body, headers):
        try:
            return self._send(method, path, body, headers)
        except OSError:
            self.close()  # the next row opens a new connection
            raise

    def _send(self, method, path, body, headers):
        self._connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value.encode("latin-1"))
        if body is not None:
            self._connection.putheader("Content-Length", str(len(body)))
        self._connection.endheaders(body)
        response = self._connection.getresponse()
        return response.status, response.headers, response.read()

    def close(self):
        self._connection.close()


@pytest.fixture(scope="module")
def client(service):
    client = Client(service.url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def board(service):
    """A player with a score, and the top 10 that must not change."""
    server = token("game-1", scope="scores:write")
    service.call("PUT", f"/api/v1/players/{VICTIM}", {}, token=token(VICTIM))
    body = {"user_id": VICTIM, "score_increase": SCORE}
    assert service.post("/api/v1/score", body, token=server).status == 200
    for n in range(3):
        service.call("PUT", f"/api/v1/players/neighbour-{n}", {}, token=server)
    wait_until(lambda: len(service.get("/api/top-scores").json["top_scores"]) == 4, what="four players")
    found = service.get("/api/leaderboard").json
    return {**found, "victim": service.get(f"/api/v1/players/{VICTIM}").json}


FORMS = (*WRITES, PLAYERS)


def cases():
    """Each row with each form; those of `make test` have each row with one form, in turn."""
    for place, form in enumerate(FORMS):
        for number, row in enumerate(rows(form)):
            marks = () if number % len(FORMS) == place else pytest.mark.long
            yield pytest.param(form, row, id=f"{form.name}: {row.name}", marks=marks)


@pytest.mark.parametrize(("form", "row"), list(cases()))
def test_bad_input_gets_its_error_and_changes_nothing(service, board, client, form, row):
    headers = {"Content-Type": "application/json"}
    if row.token is not None:
        headers["Authorization"] = f"Bearer {token(VICTIM) if row.token is AUTHORIZED else row.token}"
    method, path = row.method or form.method, row.path or form.path
    status, answered, body = client.send(method, path, row.body, {**headers, **row.headers})
    assert (status, json.loads(body).get("error")) == (row.status, row.error), body
    assert_error_shape(status, answered, body)
    assert row.says in json.loads(body)["message"]
    if status == 405:
        assert answered["Allow"] == ALLOWED.get(form.path, "OPTIONS, POST")
    assert service.get(f"/api/v1/players/{VICTIM}").json == board["victim"]


def assert_error_shape(status, headers, body):
    found = json.loads(body)
    assert set(found) == {"error", "message"}
    assert re.fullmatch(r"[a-z_]+", found["error"])
    assert re.fullmatch(r"\S.{5,300}[.\]]", found["message"])
    assert not INTERNALS.search(found["message"])
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(body))
    assert headers["X-Request-Id"]
    challenge = headers["WWW-Authenticate"]
    assert (challenge is not None) == (status == 401)
    if found["error"] in ("invalid_token", "expired_token"):
        assert re.fullmatch(r'Bearer realm="leaderboard", error="invalid_token", error_description="[^"]+"', challenge)
    elif status == 401:
        assert challenge == 'Bearer realm="leaderboard"'


def test_board_is_unchanged_after_all_bad_input(service, board):
    assert service.get("/api/leaderboard").json.items() <= board.items()
    for stranger in ("somebody", "other"):
        assert service.get(f"/api/v1/players/{stranger}").status == 404
    assert "Traceback" not in service.log
    assert '"level":"error"' not in service.log
    assert service.get("/readyz").status == 200
