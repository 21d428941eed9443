"""The contract of each frontend over real HTTP, on a real mongod. Source: the API contract, sections 2, 3 and 5."""

import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.support.frontends import WRITES
from tests.support.service import token
from tests.support.wait import wait_until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

each_frontend = pytest.mark.parametrize("form", WRITES, ids=lambda form: form.name)


def new_user():
    return f"u-{uuid4().hex[:12]}"


def write(service, form, user, **options):
    body = options.pop("body", None) or form.body(user)
    return service.call(form.method, form.path, body, token=options.pop("token", None) or token(user), **options)


def register(service, user, **profile):
    answer = service.call("PUT", f"/api/v1/players/{user}", profile, token=token(user))
    assert answer.status in (200, 201)
    return answer


def score_of(service, user):
    return service.get(f"/api/v1/players/{user}").json["score"]


# -- writing ------------------------------------------------------------------------------------------


def expected(form, user, score):
    return {
        "A-post": {"user_id": user, "score": score, "updated_at": TIME},
        "A-patch": {"user_id": user, "score": score, "updated_at": TIME},
        "B": {"status": "success", "new_score": score},
        "C": {"success": True, "newScore": score, "leaderboardPosition": int, "message": str},
        "D": {"success": True, "new_score": score},
        "E": {"message": "Score updated successfully.", "user_id": user, "new_score": score},
        "F": {
            "user_id": user,
            "score": score,
            "submitted": form.points,
            "improved": True,
            "rank": int,
            "total": int,
            "next": object,
            "periods": {},
            "updated_at": TIME,
        },
    }[form.name]


def assert_shape(found, shape):
    assert set(found) == set(shape)
    for name, value in shape.items():
        if isinstance(value, type):
            assert isinstance(found[name], value)
        elif isinstance(value, re.Pattern):
            assert value.fullmatch(found[name])
        else:
            assert found[name] == value


@each_frontend
def test_existing_player_scores(service, form):
    user = new_user()
    register(service, user)
    answer = write(service, form, user)
    assert answer.status == 200
    assert_shape(answer.json, expected(form, user, form.points))
    assert answer.headers["Content-Type"] == "application/json"
    assert write(service, form, user).json[form.score] == 2 * form.points
    assert score_of(service, user) == 2 * form.points


@each_frontend
def test_unknown_player_is_created_or_refused(service, form):
    user = new_user()
    answer = write(service, form, user)
    if form.creates:
        assert answer.status == (201 if form.name == "A-post" else 200)
        assert_shape(answer.json, expected(form, user, form.points))
        assert write(service, form, user).status == 200
    else:
        assert (answer.status, answer.json["error"]) == (404, "player_not_found")
        assert service.get(f"/api/v1/players/{user}").status == 404


@each_frontend
def test_auto_register_creates_players_through_every_frontend(open_service, form):
    user = new_user()
    assert write(open_service, form, user).status in (200, 201)
    assert score_of(open_service, user) == form.points


def test_points_of_one_frontend_are_visible_through_all(service):
    user = new_user()
    total = 0
    for form in WRITES:
        total += form.points
        assert write(service, form, user).json[form.score] == total


def test_update_score_without_a_body_adds_one(service):
    user = new_user()
    register(service, user)
    assert service.post("/api/update-score", token=token(user)).json == {"status": "success", "new_score": 1}
    assert service.post("/api/update-score", {}, token=token(user)).json["new_score"] == 2


def test_update_score_with_an_action_type_adds_the_configured_points(service):
    user = new_user()
    register(service, user)
    body = {"action_type": "enemy_defeated", "increment": 900}
    assert service.post("/api/update-score", body, token=token(user)).json["new_score"] == 5


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/update-score", {"action_type": "no_such"}),
        ("/api/scores/update", {"actionId": "x", "actionType": "no_such"}),
        ("/api/actions", {"user_id": "USER", "action_id": "no_such:1"}),
        ("/api/actions", {"user_id": "USER", "action_id": ":1"}),
    ],
)
def test_unknown_action_type_is_refused(service, path, body):
    user = new_user()
    register(service, user)
    body = {name: user if value == "USER" else value for name, value in body.items()}
    answer = service.post(path, body, token=token(user))
    assert (answer.status, answer.json["error"]) == (400, "unknown_action_type")


@each_frontend
def test_update_for_another_player_is_refused(service, form):
    alice, mallory = new_user(), new_user()
    register(service, alice)
    answer = write(service, form, alice, body={**form.body(alice), "user_id": alice}, token=token(mallory))
    assert (answer.status, answer.json["error"]) == (403, "user_mismatch")
    assert score_of(service, alice) == 0
    assert service.get(f"/api/v1/players/{mallory}").status == 404


@each_frontend
def test_game_server_scores_for_any_player(service, form):
    user, server = new_user(), token("game-1", scope="scores:write", name="The Game Server")
    register(service, user, username="Zoë")
    answer = write(service, form, user, body={**form.body(user), "user_id": user}, token=server)
    assert answer.status == 200
    found = service.get(f"/api/v1/players/{user}").json
    assert (found["score"], found["username"]) == (form.points, "Zoë")  # its own name is not the player's


# -- exactly once ---------------------------------------------------------------------------------------


def identified(form, user):
    body = form.body(user)
    return {"body": body, "headers": {} if form.carries_id else {"Idempotency-Key": f"k-{uuid4()}"}}


@each_frontend
def test_repeated_id_gets_the_stored_response_and_adds_nothing(service, form):
    user = new_user()
    register(service, user)
    request = identified(form, user)
    first = write(service, form, user, **request)
    write(service, form, user)
    again = write(service, form, user, **request)
    assert first.headers["Idempotent-Replay"] is None
    assert (again.status, again.headers["Idempotent-Replay"]) == (200, "true")
    assert again.json[form.score] == first.json[form.score]
    assert again.json.get("updated_at") == first.json.get("updated_at")
    assert score_of(service, user) == 2 * form.points


@each_frontend
def test_id_used_50_times_at_once_over_two_processes_adds_once(service, twin, form):
    user = new_user()
    register(service, user)
    request = identified(form, user)
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda n: write((service, twin)[n % 2], form, user, **request), range(50)))
    assert {a.status for a in answers} == {200}
    assert {a.json[form.score] for a in answers} == {form.points}
    assert sum(a.headers["Idempotent-Replay"] is None for a in answers) == 1
    assert score_of(service, user) == form.points


@each_frontend
def test_id_of_another_request_is_a_conflict(service, form):
    user = new_user()
    register(service, user)
    request = identified(form, user)
    write(service, form, user, **request)
    body = dict(request["body"])
    if form.field:
        body[form.field] += 1
    elif form.name == "C":
        body["actionType"] = "enemy_defeated"
    else:  # the type is part of this id, so only another frontend can use it for another request
        other = {"actionId": body["action_id"], "actionType": "daily_login"}
        answer = service.post("/api/scores/update", other, token=token(user))
        assert (answer.status, answer.json["error"]) == (409, "action_conflict")
        return
    answer = write(service, form, user, body=body, headers=request["headers"])
    assert (answer.status, answer.json["error"]) == (409, "action_conflict")
    assert score_of(service, user) == form.points


def test_action_type_without_id_uses_the_id_of_the_header(service):
    user = new_user()
    body, headers = {"user_id": user, "action_id": "daily_login"}, {"Idempotency-Key": "day-1"}
    assert service.post("/api/actions", body, token=token(user), headers=headers).json["new_score"] == 1
    assert service.post("/api/actions", body, token=token(user), headers=headers).json["new_score"] == 1
    assert service.post("/api/actions", body, token=token(user)).json["new_score"] == 2


# -- limits -----------------------------------------------------------------------------------------------


@each_frontend
def test_rate_limit_is_exact_over_two_processes(service, twin, form):
    user = new_user()
    register(service, user)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: write((service, twin)[n % 2], form, user), range(40)))
    assert sorted(a.json[form.score] for a in answers if a.status == 200) == [n * form.points for n in range(1, 11)]
    refused = [a for a in answers if a.status != 200]
    assert {(a.status, a.json["error"]) for a in refused} == {(429, "rate_limited")}
    for answer in refused:
        assert 50 <= int(answer.headers["Retry-After"]) <= 60
        assert answer.headers["RateLimit-Policy"] == '"updates";q=10;w=60'
        assert answer.headers["RateLimit"] == f'"updates";r=0;t={answer.headers["Retry-After"]}'
    assert score_of(service, user) == 10 * form.points


@each_frontend
def test_every_write_response_has_the_rate_limit_headers(service, form):
    user = new_user()
    register(service, user)
    left = [re.search(r"r=(\d+);t=(\d+)", write(service, form, user).headers["RateLimit"]) for _ in range(3)]
    assert [int(m[1]) for m in left] == [9, 8, 7]
    assert all(55 <= int(m[2]) <= 60 for m in left)
    assert write(service, form, user, body=b"{").headers["RateLimit-Policy"] == '"updates";q=10;w=60'


# -- reading ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def leaders(service):
    """Twelve players far ahead of all others; the best two tie."""
    server = token("game-1", scope="scores:write")
    users = [f"leader-{n:02}-{uuid4().hex[:6]}" for n in range(12)]
    for n, user in enumerate(users):
        register(service, user, username=f"Crowd {n} ✨", avatar_url=f"https://x.test/{n}.png")
        body = {"user_id": user, "score_increase": 10**9 - 1000 * max(n, 1)}
        assert service.post("/api/v1/score", body, token=server).status == 200
    wait_until(lambda: service.get("/api/top-scores").json["top_scores"][-1:] != [], what="a top 10")
    wait_until(
        lambda: [row["user_id"] for row in service.get("/api/top-scores").json["top_scores"]] == users[:10],
        what="the leaders are on the board",
    )
    return users


def test_top_scores_are_the_best_ten_players(service, leaders):
    rows = service.get("/api/top-scores").json["top_scores"]
    assert rows[0] == {"user_id": leaders[0], "username": "Crowd 0 ✨", "score": 10**9 - 1000}
    assert len(rows) == 10


def test_leaderboard_needs_no_token(service, leaders):
    found = service.get("/api/leaderboard").json
    assert set(found) == {"leaderboard", "totalUsers", "lastUpdated"}
    assert found["leaderboard"][2] == {
        "userId": leaders[2], "username": "Crowd 2 ✨", "avatarUrl": "https://x.test/2.png",
        "score": 10**9 - 2000, "rank": 3,
    }  # fmt: skip
    assert [row["rank"] for row in found["leaderboard"]] == [1, 1, *range(3, 11)]
    assert found["totalUsers"] >= 12
    assert TIME.fullmatch(found["lastUpdated"])


@pytest.mark.parametrize("place", [1, 11])
def test_leaderboard_with_a_token_has_the_players_position(service, leaders, place):
    found = service.get("/api/leaderboard", token=token(leaders[place])).json
    rank, score = max(place + 1, 1) if place > 1 else 1, 10**9 - 1000 * place
    following = None if rank == 1 else {"score": score + 1000, "points": 1000}
    percentile = (found["totalUsers"] - rank + 1) * 10_000 // found["totalUsers"] / 100
    assert found["userRank"] == {"rank": rank, "score": score, "percentile": percentile, "next": following}


def test_leaderboard_with_a_token_of_an_unknown_player_has_no_position(service, leaders):
    assert "userRank" not in service.get("/api/leaderboard", token=token(new_user())).json


def test_leaderboard_refuses_an_invalid_token(service):
    answer = service.get("/api/leaderboard", token="no.good.token")
    assert (answer.status, answer.json["error"]) == (401, "invalid_token")


def test_player_is_read_by_id(service, leaders):
    total = service.get("/api/leaderboard").json["totalUsers"]
    found = service.get(f"/api/v1/players/{leaders[11]}").json
    assert TIME.fullmatch(found.pop("updated_at"))
    assert found == {
        "user_id": leaders[11], "username": "Crowd 11 ✨", "avatar_url": "https://x.test/11.png",
        "score": 10**9 - 11000, "rank": 12, "total": total, "percentile": (total - 11) * 10_000 // total / 100,
        "next": {"score": 10**9 - 10000, "points": 1000},
    }  # fmt: skip


def test_around_returns_the_neighbours_of_a_player(service, leaders):
    found = service.get(f"/api/v1/players/{leaders[5]}/around?limit=2").json
    assert [p["user_id"] for p in found["above"]] == leaders[3:5]
    assert found["player"]["user_id"] == leaders[5]
    assert found["player"]["next"] == {"score": 10**9 - 4000, "points": 1000}
    assert [(p["user_id"], p["rank"]) for p in found["below"]] == [(leaders[6], 7), (leaders[7], 8)]
    assert service.get(f"/api/v1/players/{leaders[0]}/around").json["above"] == []


def test_chosen_players_are_returned_in_board_order_with_their_ranks(service, leaders):
    wanted = ",".join([leaders[7], "nobody-here", leaders[3], leaders[7], leaders[11]])
    found = service.get(f"/api/v1/leaderboard?players={quote(wanted, safe='')}")
    assert [(row["user_id"], row["rank"]) for row in found.json["players"]] == [
        (leaders[3], 4), (leaders[7], 8), (leaders[11], 12),
    ]  # fmt: skip
    assert found.json["next"] is None
    assert found.json["total"] >= 12
    assert found.headers["ETag"]
    assert service.get(f"/api/v1/leaderboard?players={wanted}").json == found.json  # commas may stay as they are


def test_chosen_players_may_have_a_comma_or_a_percent_sign_in_their_ids(service):
    server = token("server", scope="scores:write")
    users = [f"cn=zoe,dc=x-{new_user()}", f"50%25 {new_user()}"]
    for user in users:
        service.post("/api/score", {"score": 1, "user_id": user}, token=server)
    wanted = quote(",".join(quote(user, safe="") for user in users), safe="")
    found = service.get(f"/api/v1/leaderboard?players={wanted}").json["players"]
    assert sorted(row["user_id"] for row in found) == sorted(users)


@pytest.mark.parametrize(
    "query",
    [
        "players=",
        "players=a,,b",
        "players=a&limit=5",
        "players=a&after=x",
        f"players={','.join(map(str, range(101)))}",
        "players=a&players=b",
        "players=%E4",
    ],
)
def test_chosen_players_refuse_a_malformed_list(service, query):
    answer = service.get(f"/api/v1/leaderboard?{query}")
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


def test_pages_contain_every_player_once(service, leaders):
    seen, after = [], ""
    while True:
        page = service.get(f"/api/v1/leaderboard?limit=5{after}").json
        seen += page["players"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert [p["user_id"] for p in seen[:12]] == leaders
    assert len({p["user_id"] for p in seen}) == len(seen) == page["total"]
    assert [p["rank"] for p in seen] == sorted(p["rank"] for p in seen)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limit=1e3", "limit=999999999", "after=x", "after=WzFd"]
)
def test_invalid_page_is_refused(service, query):
    answer = service.get(f"/api/v1/leaderboard?{query}")
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/api/top-scores", "/api/leaderboard", "/api/v1/leaderboard", "/"])
def test_reads_with_a_matching_etag_are_304(service, leaders, path):
    first = service.get(path)
    assert first.headers["Cache-Control"]
    again = service.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert service.get(path, headers={"If-None-Match": f'W/"x", W/{first.headers["ETag"]}'}).status == 304
    assert service.get(path, headers={"If-None-Match": '"other"'}).status == 200


def test_head_has_the_headers_of_get_without_body(service, leaders):
    got, head = service.get("/api/top-scores"), service.call("HEAD", "/api/top-scores")
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", got.headers["ETag"])
    assert head.headers["Content-Length"] == str(len(got.body))


# -- players ------------------------------------------------------------------------------------------------


def test_put_creates_a_player_and_changes_the_profile(service):
    user = new_user()
    made = register(service, user, username="Zoë")  # decomposed: it is stored in NFC
    assert (made.status, made.json["username"], made.json["score"]) == (201, "Zoë", 0)
    changed = register(service, user, avatar_url="https://x.test/z.png")
    assert (changed.status, changed.json["username"], changed.json["avatar_url"]) == (
        200,
        "Zoë",
        "https://x.test/z.png",
    )


@pytest.mark.parametrize(
    "profile",
    [
        {"username": ""}, {"username": "  "}, {"username": "x" * 65}, {"username": "a\x00b"}, {"username": "a\nb"},
        {"username": 5}, {"avatar_url": "javascript:alert(1)"}, {"avatar_url": "//x.test/a"},
        {"avatar_url": "nonsense"}, {"avatar_url": "https://"},
    ],
)  # fmt: skip
def test_invalid_profile_is_refused(service, profile):
    user = new_user()
    answer = service.call("PUT", f"/api/v1/players/{user}", profile, token=token(user))
    assert (answer.status, answer.json["error"]) == (400, "invalid_body")
    assert next(iter(profile)) in answer.json["message"]
    assert service.get(f"/api/v1/players/{user}").status == 404


def test_profile_of_another_player_is_refused(service):
    user = new_user()
    answer = service.call("PUT", f"/api/v1/players/{user}", {}, token=token(new_user()))
    assert (answer.status, answer.json["error"]) == (403, "user_mismatch")
    server = token("game-1", scope="scores:write")
    assert service.call("PUT", f"/api/v1/players/{user}", {}, token=server).status == 201


def test_name_and_picture_of_the_token_are_stored(service):
    user = new_user()
    write(service, WRITES[0], user, token=token(user, name="Zoë", picture="https://x.test/1.png"))
    found = service.get(f"/api/v1/players/{user}").json
    assert (found["username"], found["avatar_url"]) == ("Zoë", "https://x.test/1.png")
    write(service, WRITES[0], user, token=token(user, name="Zoé"))
    found = service.get(f"/api/v1/players/{user}").json
    assert (found["username"], found["avatar_url"]) == ("Zoé", "https://x.test/1.png")


# -- the rest of HTTP ---------------------------------------------------------------------------------------


def test_health_endpoints_answer(service):
    assert service.get("/healthz").json == {"status": "ok"}
    assert service.get("/readyz").json == {"status": "ok"}
    assert service.get("/metrics").status == 404  # never on the public port
    assert service.metric("leaderboard_ranked_players") > 0


def test_request_id_is_returned(service):
    assert service.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    assert service.get("/healthz", headers={"X-Request-Id": "no spaces"}).headers["X-Request-Id"] != "no spaces"
    assert service.get("/healthz").headers["X-Request-Id"]


def test_cors_headers_are_sent_to_allowed_origins(open_service):
    asked = {"Origin": "https://game.test", "Access-Control-Request-Method": "POST"}
    preflight = open_service.call("OPTIONS", "/api/score", headers=asked)
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://game.test"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Idempotency-Key" in preflight.headers["Access-Control-Allow-Headers"]
    other = open_service.call("OPTIONS", "/api/score", headers={**asked, "Origin": "https://evil.test"})
    assert other.headers["Access-Control-Allow-Origin"] is None


def test_refused_credentials_are_in_the_audit_log_without_the_token(service):
    headers = {"X-Request-Id": f"refused-{new_user()}", "Authorization": "Bearer not-a-token"}
    assert service.get("/api/leaderboard", headers=headers).status == 401
    lines = [line for line in service.log.splitlines() if headers["X-Request-Id"] in line]
    (line,) = [line for line in lines if '"event":"credentials_refused"' in line]
    assert '"error":"invalid_token"' in line
    assert "not-a-token" not in "".join(lines)


def test_submission_is_in_the_audit_log(service):
    user = new_user()
    trace = "0af7651916cd43dd8448eb211c80319c"
    traced = {"X-Request-Id": f"audit-{user}", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    write(service, WRITES[0], user, headers=traced)
    write(service, WRITES[5], user, body={"user_id": "other", "score_increase": 1})
    lines = [line for line in service.log.splitlines() if user in line and "leaderboard.audit" in line]
    assert len(lines) == 2
    assert f'"request_id":"audit-{user}"' in lines[0]
    assert f'"trace_id":"{trace}"' in lines[0]
    assert "trace_id" not in lines[1]
    assert '"event":"score_accepted"' in lines[0]
    assert '"event":"score_refused"' in lines[1]
    assert '"error":"user_mismatch"' in lines[1]
    assert "eyJ" not in service.log


@pytest.mark.parametrize("encoded", ["a%2Db", "%61-b", "a-b"])
def test_percent_encoded_path_is_decoded(service, encoded):
    service.call("PUT", "/api/v1/players/a-b", {}, token=token("a-b"))
    assert service.get(f"/api/v1/players/{encoded}").json["user_id"] == "a-b"


@pytest.mark.parametrize("encoded", ["a%2Fb", "a%00b", "%ff", "a%0ab", "..%2f..%2fetc"])
def test_percent_encoded_path_of_an_invalid_user_id_is_refused(service, encoded):
    answer = service.get(f"/api/v1/players/{encoded}")
    assert (answer.status, answer.json["error"]) == (404, "player_not_found")


def test_static_file_response_names_one_allowed_origin(open_service):
    answer = open_service.get("/static/leaderboard.js", headers={"Origin": "https://game.test"})
    assert answer.headers.get_all("Access-Control-Allow-Origin") == ["*"]
