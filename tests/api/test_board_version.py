"""A client that sends the greatest `Board-Version` that it has received reads its own writes and no older board."""

import contextlib
import http.client
import json
import random
import threading
import time
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.support.frontends import WRITES
from tests.support.raw_http import RawConnection
from tests.support.service import token
from tests.support.wait import wait_until
from tornado_app.api.rest.board_version import ANY, Shown
from tornado_app.core.versions import version_at

READS = (
    "/api/top-scores",
    "/api/leaderboard",
    "/api/v1/leaderboard",
    "/api/v1/players/{0}",
    "/api/v1/players/{0}/around",
)


WRITES_EACH = 50


def version(answer):
    return int(answer.headers["Board-Version"])


class Client:
    """One player on kept-alive connections to several processes; it stores the greatest version that it received."""

    def __init__(self, services, *, careful=True, paths=READS, worth=1):
        self.user = f"u-{uuid4().hex[:8]}"
        self.token = token(self.user, scope="scores:write")
        places = [urlsplit(service.url) for service in services]
        self.connections = [http.client.HTTPConnection(p.hostname, p.port, timeout=30) for p in places]
        self.seen, self.score, self.rows = 0, 0, {}
        self.careful, self.paths, self.worth = careful, paths, worth
        self.back = self.reads = self.late = 0

    def ask(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if self.careful and method == "GET":
            headers["If-Board-Version"] = str(self.seen)
        connection = random.choice(self.connections)
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        found = json.loads(response.read())
        assert response.status in (200, 201), found
        shown = int(response.headers["Board-Version"])
        self.late += shown < self.seen
        in_time = shown >= self.seen
        self.seen = max(self.seen, shown)
        return found, in_time

    def write(self):
        """The score of this response is the minimum for all later ones."""
        self.score = self.ask("POST", "/api/score", {"score": self.worth * random.randint(1, 50)})[0]["score"]

    def read(self):
        """Each row of the response is compared with the last one of that player."""
        path = random.choice(self.paths).format(self.user)
        found, in_time = self.ask("GET", path)
        self.reads += 1
        if self.careful and not in_time:
            return  # the response says so
        rows = dict(scores(found))
        for user, score in rows.items():
            self.back += score < self.rows.get(user, 0)
            self.rows[user] = max(score, self.rows.get(user, 0))
        if self.score:
            self.back += rows.get(self.user, self.score) < self.score


def scores(found):
    """Every player and score in a response."""
    if isinstance(found, list):
        for each in found:
            yield from scores(each)
    elif isinstance(found, dict):
        user = found.get("user_id") or found.get("userId")
        if user is not None:
            yield user, found["score"]
        for each in found.values():
            yield from scores(each)


def play(clients):
    """All clients at once; each writes and reads alternately."""

    def one(client):
        for _ in range(WRITES_EACH):
            client.write()
            for _ in range(3):
                client.read()
        for connection in client.connections:
            connection.close()

    threads = [threading.Thread(target=one, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def pair(run_service, module_database):
    """Two processes on one database. A longer history of ids would disable the player cache."""
    uri, name = module_database
    return [run_service("--rate-limit", f"{WRITES_EACH}/100s", uri=uri, database=name) for _ in range(2)]


@pytest.mark.long
def test_client_with_board_versions_never_goes_back_over_two_processes(pair):
    clients = [Client(pair) for _ in range(6)]
    play(clients)
    reads = sum(client.reads for client in clients)
    assert reads > 100
    assert sum(client.back for client in clients) == 0
    assert sum(client.late for client in clients) < reads / 10  # most are shown in time, also on a busy machine


@pytest.mark.long
def test_client_without_board_versions_goes_back_over_two_processes(pair):
    """Control for the test above: the same requests without the header."""
    clients = [Client(pair, careful=False, paths=READS[:2], worth=1000) for _ in range(6)]
    play(clients)
    assert sum(client.back for client in clients) > 0


@pytest.mark.parametrize("form", WRITES, ids=lambda form: form.name)
def test_write_is_visible_at_the_version_of_its_response(pair, form):
    """A first update, one of a cached player, and a replay, each read from the other process."""
    here, there = pair
    user = f"u-{uuid4().hex[:8]}"
    bearer = token(user, scope="scores:write")
    made = here.call("PUT", f"/api/v1/players/{user}", {"username": "Zoë"}, token=bearer)
    assert shown(there, user, made)["username"] == "Zoë"
    for _ in range(3):
        body = form.body(user)
        key = {} if form.carries_id else {"Idempotency-Key": uuid4().hex}
        answer = here.call(form.method, form.path, body, token=bearer, headers=key)
        assert shown(there, user, answer)["score"] == answer.json[form.score]
        replay = there.call(form.method, form.path, body, token=bearer, headers=key)
        assert replay.headers["Idempotent-Replay"] == "true"
        assert version(replay) >= version(answer)
        assert shown(here, user, replay)["score"] == answer.json[form.score]


def test_moderation_is_visible_at_the_version_of_its_response(pair):
    here, there = pair
    user, moderator = f"u-{uuid4().hex[:8]}", token("mod", scope="leaderboard:admin")
    here.post("/api/score", {"score": 10**13}, token=token(user, scope="scores:write"))
    for verb, on_board in (("hide", False), ("show", True), ("suspend", True), ("erase", False)):
        answer = here.post(f"/api/v1/admin/players/{user}/{verb}", {"reason": "test"}, token=moderator)
        assert answer.status in (200, 204), answer.body
        top = there.get("/api/top-scores", headers=wants(answer))
        assert version(top) >= version(answer), verb
        assert (user in {row["user_id"] for row in top.json["top_scores"]}) == on_board, verb


def shown(service, user, answer):
    """The player, read with the version of the response."""
    for path in READS:
        found = service.get(path.format(user), headers={"If-Board-Version": str(version(answer))})
        assert version(found) >= version(answer), path
    return service.get(f"/api/v1/players/{user}", headers={"If-Board-Version": str(version(answer))}).json


def test_read_of_an_idle_board_does_not_wait(pair):
    """A write that does not change the top 10 is visible at its version."""
    here, there = pair
    for n in range(10):
        leader = f"leader-{n}"
        here.post("/api/score", {"score": 10**12}, token=token(leader, scope="scores:write"))
    low = here.post("/api/score", {"score": 1}, token=token(f"u-{uuid4().hex[:8]}"))
    wait_until(lambda: version(there.get("/api/top-scores", headers=wants(low))) >= version(low), what="it is shown")
    began = time.monotonic()
    for _ in range(20):
        for service in pair:
            assert version(service.get("/api/top-scores", headers=wants(low))) >= version(low)
    assert time.monotonic() - began < 20 * 2 * 0.1


def wants(answer):
    return {"If-Board-Version": str(version(answer))}


@pytest.mark.parametrize("path", READS)
def test_version_that_is_not_reached_gets_the_current_board(service, path):
    user = f"u-{uuid4().hex[:8]}"
    made = service.call("PUT", f"/api/v1/players/{user}", {}, token=token(user))
    far = version(made) + (3600 << 21)
    began = time.monotonic()
    answer = service.get(path.format(user), headers={"If-Board-Version": str(far)})
    assert 0.2 < time.monotonic() - began < 5
    assert answer.status == 200
    assert version(answer) < far


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("value", ["", "-1", "1.0", "1e3", "abc", "1, 2", "9" * 17, "٣", "0x10", "+1"])
def test_invalid_version_is_refused(service, path, value):
    user = "versions"
    service.call("PUT", f"/api/v1/players/{user}", {}, token=token(user))
    answer = service.get(path.format(user), headers={"If-Board-Version": value.encode().decode("latin-1")})
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert "If-Board-Version" in answer.json["message"]


@pytest.mark.parametrize(("reached", "number"), [(False, 2**21 - 2), (True, 2**21 - 1)])
def test_version_of_several_boards_is_not_returned_before_all_are_reached(reached, number):
    """As when the database's clock was set back."""
    shown = Shown(2**21 - 1, reached=reached)
    assert shown.header(version_at(0, 2**21 + 5)) == ("Board-Version", str(number))
    assert ANY.header(version_at(0, 2**21 + 5)) == ("Board-Version", str(2**21 - 1))


def test_not_modified_response_has_the_version(service):
    answer = service.get("/api/top-scores")
    again = service.get("/api/top-scores", headers={"If-None-Match": answer.headers["ETag"], **wants(answer)})
    assert again.status == 304
    assert version(again) >= version(answer)


def test_leaderboard_position_of_a_replay_excludes_later_scores(pair):
    """The best player has rank 1 also in the replay of an old action during a later one."""
    user = f"u-{uuid4().hex[:8]}"
    pair[0].post("/api/score", {"score": 10**15}, token=token(user, scope="scores:write"))
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(RawConnection(pair[0].url)) for _ in range(8)]
        list(at_once(wires, user, ["a-0"] * 8))
        positions = [position for n in range(WRITES_EACH - 3) for position in at_once(wires, user, in_one_batch(n))]
    assert set(positions) == {1}


def in_one_batch(number):
    """A new action behind others that keep the database busy, and a replay of the last one, in one batch."""
    return [*[f"a-{number}"] * 4, f"a-{number + 1}", *[f"a-{number}"] * 3]


def at_once(wires, user, actions):
    """Submit an action on each connection; return the positions of the responses."""
    for wire, action in zip(wires, actions, strict=True):
        body = json.dumps({"actionId": action, "actionType": "level_complete"}).encode()
        auth, size = f"Authorization: Bearer {token(user)}", f"Content-Length: {len(body)}"
        wire.send("POST /api/scores/update HTTP/1.1", auth, size, body=body)
    for wire in wires:
        answer = wire.read()
        assert answer.status == 200, answer.body
        yield json.loads(answer.body)["leaderboardPosition"]
