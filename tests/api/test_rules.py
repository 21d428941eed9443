"""Boards of the rules best and last on a real service: API F, the other APIs, reads, moderation and the ledger."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from websockets.sync.client import connect

from tests.support.frontends import WRITES
from tests.support.service import KEY, RunningService, token
from tests.support.wait import wait_until
from tornado_app.auth import keys, proofs

MOD = token("mod", scope="leaderboard:admin")
SERVER = token("game-1", scope="scores:write")
PROOF_KEY = "a-proof-key-of-the-game-server-0123456789"
KART = "boards: {main: {rule: best, order: ascending, bounds: {min: 15000, max: 3600000}}}"
FOLDING = ("-m", "tests.support.short_retention_service")
LAST = "boards: {main: {rule: last}}"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Writes a file of boards; its path."""

    def write(text):
        path = tmp_path_factory.mktemp("boards") / "boards.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture(scope="module")
def kart(run_service, module_database, files):
    """The board of lap times: the lowest is first."""
    uri, name = module_database
    env = {"LEADERBOARD_PROOF_KEY": PROOF_KEY}
    return run_service("--boards-file", files(KART), "--auto-register", uri=uri, database=f"{name}_kart", env=env)


@pytest.fixture(scope="module")
def kart_twin(run_service, kart, module_database, files):
    uri, name = module_database
    return run_service("--boards-file", files(KART), "--processes", "2", uri=uri, database=f"{name}_kart")


@pytest.fixture(scope="module")
def last(run_service, module_database, files):
    uri, name = module_database
    return run_service("--boards-file", files(LAST), uri=uri, database=f"{name}_last")


def new_user():
    return f"r-{uuid4().hex[:12]}"


def submit(service, user, score, **options):
    return service.post("/api/v1/scores", {"score": score, "user_id": user}, token=SERVER, **options)


def read(service, user):
    return service.get(f"/api/v1/players/{user}")


def moderate(service, user, verb, **body):
    return service.post(f"/api/v1/admin/players/{user}/{verb}", {"reason": "cut a corner", **body}, token=MOD)


def test_best_score_is_kept_and_the_answer_says_whether_it_improved(kart):
    user = new_user()
    first = submit(kart, user, 90_000)
    assert first.status == 200
    assert (first.json["score"], first.json["submitted"], first.json["improved"]) == (90_000, 90_000, True)
    worse = submit(kart, user, 95_000)
    assert worse.status == 200
    assert (worse.json["score"], worse.json["submitted"], worse.json["improved"]) == (90_000, 95_000, False)
    wait_until(lambda: '"submitted":95000' in kart.log, what="the audit line has the submitted score")
    assert worse.json["updated_at"] == first.json["updated_at"]
    assert worse.headers["RateLimit"].startswith('"updates";r=8')
    better = submit(kart, user, 83_123)
    assert (better.json["score"], better.json["improved"]) == (83_123, True)
    assert better.json["updated_at"] > first.json["updated_at"]


def test_replay_of_a_submission_has_its_answer_again(kart):
    user, key = new_user(), {"Idempotency-Key": "lap-1"}
    submit(kart, user, 80_000)
    first = submit(kart, user, 90_000, headers=key)
    submit(kart, user, 70_000)
    again = submit(kart, user, 90_000, headers=key)
    assert again.headers["Idempotent-Replay"] == "true"
    members = ("score", "submitted", "improved", "updated_at")
    assert [again.json[name] for name in members] == [first.json[name] for name in members]
    other = submit(kart, user, 60_000, headers=key)
    assert (other.status, other.json["error"]) == (409, "action_conflict")


@pytest.mark.parametrize("form", [form for form in WRITES if form.name != "F"], ids=lambda form: form.name)
def test_apis_that_add_points_are_refused_on_a_board_of_another_rule(kart, form):
    user = new_user()
    answer = kart.call(form.method, form.path, form.body(user), token=token(user))
    assert (answer.status, answer.json["error"]) == (409, "wrong_rule")
    assert "POST /api/v1/scores" in answer.json["message"]
    assert read(kart, user).status == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"score": 14_999}, 400, "out_of_bounds"),
        ({"score": 3_600_001}, 400, "out_of_bounds"),
        ({"score": 2**62}, 400, "invalid_body"),
        ({"score": "fast"}, 400, "invalid_body"),
        ({"score": 5.5}, 400, "invalid_body"),
        ({"points": 5}, 409, "wrong_rule"),
        ({"points": 0}, 400, "invalid_increment"),
        ({"action_type": "level_complete"}, 409, "wrong_rule"),
        ({"score": 20_000, "points": 5}, 400, "invalid_body"),
        ({"score": 20_000, "action_type": "race\n"}, 400, "invalid_body"),
        ({}, 400, "invalid_body"),
    ],
    ids=json.dumps,
)
def test_invalid_submission_is_refused(kart, body, status, code):
    user = new_user()
    answer = kart.post("/api/v1/scores", body, token=token(user))
    assert (answer.status, answer.json["error"]) == (status, code)
    assert read(kart, user).status == 404


@pytest.mark.parametrize("text", [b"1e30", b"-1e30", b"5.5", b"4611686018427387904", b"1e400"])
def test_number_that_is_no_score_is_refused_with_the_bounds(kart, text):
    answer = kart.call("POST", "/api/v1/scores", b'{"score": %s}' % text, token=token(new_user()))
    assert (answer.status, answer.json["error"]) == (400, "invalid_body")
    assert answer.json["message"] == "score: must be an integer from -4611686018427387903 to 4611686018427387903."


def test_number_in_metadata_that_no_client_can_read_is_refused_with_its_bound(kart):
    body = b'{"score": 20000, "metadata": {"lap": 1e400}}'
    answer = kart.call("POST", "/api/v1/scores", body, token=token(new_user()))
    assert (answer.status, answer.json["error"]) == (400, "invalid_body")
    assert answer.json["message"] == "metadata[...]: a number is beyond ±1.8e+308."


def test_board_of_ascending_order_has_the_lowest_first_everywhere(kart, kart_twin):
    users = [new_user() for _ in range(3)]
    for user, score in zip(users, (16_000, 15_500, 15_500), strict=True):
        submit(kart, user, score)
    order = [users[1], users[2], users[0]]
    for each in (kart, kart_twin):
        wait_until(lambda each=each: [read(each, user).json.get("rank") for user in order] == [1, 1, 3], what="ranks")
        wait_until(
            lambda each=each: [row["user_id"] for row in each.get("/api/top-scores").json["top_scores"][:3]] == order,
            what="top 10",
        )
        chosen = each.get(f"/api/v1/leaderboard?players={','.join(users)}").json["players"]
        assert [(row["user_id"], row["rank"]) for row in chosen] == list(zip(order, (1, 1, 3), strict=True))
        page = each.get("/api/v1/leaderboard?limit=2").json
        rest = each.get(f"/api/v1/leaderboard?limit=1&after={page['next']}").json
        assert [row["user_id"] for row in page["players"] + rest["players"]] == order
        third = each.get(f"/api/v1/players/{users[0]}/around?limit=2").json
        assert [row["user_id"] for row in third["above"]] == order[:2]
        assert third["player"]["next"] == {"score": 15_500, "points": 500}
    for user in users:
        assert moderate(kart, user, "erase").status == 204


def test_player_without_a_score_is_not_on_the_board(kart):
    user = new_user()
    created = kart.call("PUT", f"/api/v1/players/{user}", {"username": "Zoë"}, token=token(user))
    assert created.status == 201
    assert {name: created.json[name] for name in ("score", "rank", "percentile", "next")} == dict.fromkeys(
        ("score", "rank", "percentile", "next")
    )
    assert moderate(kart, user, "hide").json["score"] is None
    assert not moderate(kart, user, "show").json["hidden"]
    first = submit(kart, user, 3_000_000)
    assert (first.status, first.json["improved"]) == (200, True)
    wait_until(lambda: read(kart, user).status == 200, what="on the board")
    assert read(kart, user).json["username"] == "Zoë"


def test_take_back_restores_the_best_of_the_other_submissions(kart, kart_twin):
    user = new_user()
    for number, score in enumerate((90_000, 70_000, 80_000), start=1):
        submit(kart, user, score, headers={"Idempotency-Key": f"lap-{number}"})
    times = {entry["submitted"]: entry["at"] for entry in history(kart, user, 3)}
    taken = moderate(kart, user, "take-back", action_id="lap-2").json
    assert (taken["score"], taken["points_taken_back"], taken["actions_taken_back"]) == (80_000, -10_000, 1)
    for each in (kart, kart_twin):
        wait_until(lambda each=each: read(each, user).json["score"] == 80_000, what="the next best")
        assert read(each, user).json["updated_at"] == times[80_000]
    assert moderate(kart, user, "take-back", since="2026-01-01T00:00:00Z").json["score"] is None
    for each in (kart, kart_twin):
        wait_until(lambda each=each: read(each, user).status == 404, what="no score is left")
    again = submit(kart_twin, user, 3_500_000)
    assert (again.json["score"], again.json["improved"]) == (3_500_000, True)
    wait_until(lambda: read(kart, user).status == 200, what="on the board again")
    assert sum(entry["points"] for entry in history(kart, user, 6)) == 3_500_000


def history(service, user, entries):
    """The player's ledger, once it has so many entries."""

    def found():
        return service.get(f"/api/v1/players/{user}/history", token=MOD).json["entries"]

    wait_until(lambda: len(found()) == entries, what="the ledger")
    return found()


def test_suspicious_points_are_not_looked_for_in_scores(kart):
    user = new_user()
    for score in [60_000, 60_000, 17_000]:
        submit(kart, user, score)
    assert kart.metric("leaderboard_score_points_total", frontend="F") == 0
    assert kart.metric("leaderboard_abuse_reports_total", rule="jump") == 0


def test_proof_of_a_score_is_for_that_score(kart):
    user, key = new_user(), keys.signing_secret(PROOF_KEY)
    text = proofs.sign_action(key, sub=user, action_type="race", score=50_000, action_id="race-1")
    other = kart.post("/api/v1/scores", {"score": 40_000}, token=token(user), headers={"Action-Proof": text})
    assert (other.status, other.json["error"]) == (403, "invalid_action_proof")
    assert kart.post("/api/v1/scores", {"score": 50_000, "proof": text}, token=token(user)).status == 200
    points = proofs.sign_action(key, sub=user, action_type="race", points=50_000)
    refused = kart.post("/api/v1/scores", {"score": 50_000, "proof": points}, token=token(user))
    assert (refused.status, refused.json["error"]) == (403, "invalid_action_proof")


def test_last_score_replaces_the_one_before(last):
    user = new_user()
    with connect(f"{last.ws_url}/ws/leaderboard", additional_headers={"Authorization": f"Bearer {token(user)}"}) as ws:
        ws.recv(timeout=10)
        assert submit(last, user, 70).json["improved"]
        lower = submit(last, user, -5).json
        assert (lower["score"], lower["improved"], lower["rank"]) == (-5, False, 1)
        same = submit(last, user, -5).json
        assert same["updated_at"] == lower["updated_at"]
        changes = 0
        while changes != -5:
            message = json.loads(ws.recv(timeout=10))
            if message["type"] == "user.scoreUpdate":
                changes += message["data"]["change"]
    wait_until(lambda: read(last, user).json.get("score") == -5, what="the last score")


def test_take_back_that_makes_a_score_earlier_is_shown_in_the_top_10(last):
    """A score that equals the tenth comes into the top 10 by its time alone."""
    score, earlier = 2**60, new_user()
    submit(last, earlier, score)
    others = [new_user() for _ in range(10)]
    for user in others:
        submit(last, user, score)
    submit(last, earlier, 1, headers={"Idempotency-Key": "low"})
    submit(last, earlier, score)

    def top():
        return [row["user_id"] for row in last.get("/api/top-scores").json["top_scores"]]

    wait_until(lambda: top() == others, what="the later score is the eleventh")
    assert moderate(last, earlier, "take-back", action_id="low").json["score"] == score
    wait_until(lambda: top() == [earlier, *others[:9]], what="the earlier time")


def test_take_back_of_a_worse_score_leaves_a_folded_one(run_service, module_database, files):
    """The ledger cannot tell a folded score of 0 from none."""
    uri, name = module_database
    board = files("boards: {main: {rule: best, order: ascending}}")
    service = run_service("--boards-file", board, uri=uri, database=f"{name}_folded", program=FOLDING)
    user = new_user()
    best = submit(service, user, 0).json
    submit(service, user, 7, headers={"Idempotency-Key": "worse"})

    def entries():
        return service.get(f"/api/v1/players/{user}/history", token=MOD).json["entries"]

    wait_until(lambda: [entry["folded_entries"] for entry in entries()] == [1], what="the fold")
    assert moderate(service, user, "take-back", action_id="worse").json["score"] == 0
    assert read(service, user).json["updated_at"] == best["updated_at"]


CAR = {"car": "Blitz", "lap": [1, 2.5, None], "ghost": {"id": 2**53 + 1}}


def metadata_of(rows, user):
    return [row.get("metadata") for row in rows if user in row.values()]


def test_metadata_stays_with_the_score_it_came_with(kart, kart_twin):
    user = new_user()
    assert kart.post("/api/v1/scores", {"score": 15_001, "metadata": CAR}, token=token(user)).status == 200
    kart.post("/api/v1/scores", {"score": 15_002, "metadata": {"car": "slower"}}, token=token(user))
    reads = {
        f"/api/v1/players/{user}": lambda found: [found],
        "/api/top-scores": lambda found: found["top_scores"],
        "/api/leaderboard": lambda found: found["leaderboard"],
        f"/api/v1/leaderboard?players={user}": lambda found: found["players"],
        f"/api/v1/players/{user}/around": lambda found: [found.get("player", {})],
    }
    with connect(f"{kart_twin.ws_url}/ws/score") as score, connect(f"{kart_twin.ws_url}/ws/scoreboard") as scoreboard:
        for each in (kart, kart_twin):
            for path, rows in reads.items():
                wait_until(
                    lambda each=each, path=path, rows=rows: metadata_of(rows(each.get(path).json), user) == [CAR],
                    what=path,
                )
        for socket, rows in (
            (score, lambda found: found["data"]["leaderboard"]),
            (scoreboard, reads["/api/top-scores"]),
        ):
            while metadata_of(rows(json.loads(socket.recv(timeout=10))), user) != [CAR]:
                pass  # an earlier board
    assert submit(kart, user, 15_000).json["improved"]
    wait_until(lambda: read(kart, user).json["score"] == 15_000, what="a better score")
    assert "metadata" not in read(kart, user).json
    assert moderate(kart, user, "erase").status == 204


def test_metadata_goes_with_the_score_that_is_taken_back(kart):
    user = new_user()
    submit(kart, user, 80_000)
    body = {"score": 70_000, "metadata": CAR, "user_id": user}
    assert kart.post("/api/v1/scores", body, token=SERVER, headers={"Idempotency-Key": "lap"}).json["improved"]
    wait_until(lambda: read(kart, user).json.get("metadata") == CAR, what="metadata")
    other = kart.post("/api/v1/scores", {**body, "metadata": {}}, token=SERVER, headers={"Idempotency-Key": "lap"})
    assert (other.status, other.json["error"]) == (409, "action_conflict")
    moderate(kart, user, "take-back", action_id="lap")
    wait_until(lambda: read(kart, user).json["score"] == 80_000, what="the score before")
    assert "metadata" not in read(kart, user).json


@pytest.mark.parametrize("metadata", [{"a": "x" * 505}, {"é": "x" * 504}, [], "x", None, 7], ids=lambda m: repr(m)[:9])
def test_metadata_that_is_too_large_or_no_object_is_refused(kart, metadata):
    answer = kart.post("/api/v1/scores", {"score": 20_000, "metadata": metadata}, token=token(new_user()))
    assert (answer.status, answer.json["error"]) == (400, "invalid_body")
    assert answer.json["message"].startswith("metadata: ")


def test_points_are_added_by_api_f_on_a_board_of_the_rule_sum(service):
    user = new_user()
    first = service.post("/api/v1/scores", {"points": 5}, token=token(user))
    assert first.status == 200
    typed = service.post("/api/v1/scores", {"action_type": "level_complete"}, token=token(user)).json
    assert (typed["score"], typed["submitted"], typed["improved"], typed["user_id"]) == (55, 50, True, user)
    refused = service.post("/api/v1/scores", {"score": 5}, token=token(user))
    assert (refused.status, refused.json["error"]) == (409, "wrong_rule")


def test_start_with_another_rule_on_data_fails_and_says_what_to_do(kart, module_database, files, tmp_path):
    submit(kart, new_user(), 20_000)
    uri, name = module_database
    other = RunningService("--boards-file", files(LAST), uri=uri, database=f"{name}_kart")
    other.start_only(tmp_path / "log")
    assert other.wait() != 0
    assert "set rule best and order ascending in boards_file" in other.log
    assert KEY not in other.log
