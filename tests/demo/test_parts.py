"""Unit tests of the demo's players, games, tokens and guide."""

from __future__ import annotations

import json
import time
import unicodedata

import pytest
from tornado.httputil import HTTPHeaders

from tornado_app.api.frontends import FRONTENDS
from tornado_app.auth.keys import KeySet, secret_key
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.config import Config
from tornado_app.core import identity
from tornado_app.core.boards import MAIN, Board, Bounds, Rule
from tornado_app.core.errors import RateLimited
from tornado_app.demo import guide, identities
from tornado_app.demo.games import GAMES, TIME_TRIAL, values_of
from tornado_app.demo.identities import SESSIONS_PER_MINUTE, Sessions, minter
from tornado_app.http.messages import Request

KEY = "a key for the tests of the demo, long enough"


def test_simulated_players_have_valid_names_and_ids():
    bots = [identities.simulated(number) for number in range(1000)]
    assert len({persona.user_id for persona in bots}) == 1000
    assert len({persona.name for persona in bots}) == 1000
    assert all(identity.is_user_id(persona.user_id) for persona in [*bots, identities.CURL])
    assert [persona.name for persona in bots if identity.username(persona.name) != persona.name] == []


def test_first_names_have_many_scripts_and_both_directions():
    names = [identities.simulated(number).name for number in range(50)]
    scripts = {unicodedata.name(name[0]).split()[0] for name in names}
    assert {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "CJK", "HIRAGANA", "HANGUL", "DEVANAGARI"} <= scripts
    assert max(len(identities.simulated(number).name) for number in range(60)) >= 60


def test_demo_requests_match_each_frontend():
    writes = {(frontend.name, write.method, write.path) for frontend in FRONTENDS for write in frontend.writes}
    assert {(game.frontend, game.method, game.path) for game in GAMES} <= writes
    assert [game.frontend for game in GAMES] == ["A", "B", "C", "D", "E"]


@pytest.mark.parametrize(
    ("board", "values"),
    [
        (TIME_TRIAL, (45_000, 120_000)),
        (Board("a"), (1, 12)),
        (Board("a", bounds=Bounds(-5, 7)), (1, 7)),
        (Board("a", bounds=Bounds(min=5)), (5, 17)),
        (Board("a", Rule.LAST), (0, 1000)),
        (Board("a", Rule.BEST, bounds=Bounds(min=-7)), (-7, 993)),
        (Board("a", Rule.BEST, bounds=Bounds(max=-7)), (-7, -7)),
    ],
)
def test_demo_submits_values_within_the_bounds(board, values):
    assert values_of(board) == values


def session_of(sessions: Sessions):
    request = Request("GET", "/demo/session", HTTPHeaders())
    return sessions.route().methods["GET"](request)


def test_demo_sessions_are_signed_not_cached_and_bounded():
    now = 1000.0
    sessions = Sessions(minter(Config(jwt_key=KEY)), {"jump": 3}, clock=lambda: now)
    answers = [session_of(sessions) for _ in range(SESSIONS_PER_MINUTE)]
    assert ("Cache-Control", "no-store") in answers[0].headers
    session = json.loads(answers[0].body)
    caller = TokenVerifier(KeySet([secret_key(KEY)]), audience=None, issuer=None).verify(session["token"])
    assert (caller.user_id, caller.profile.username) == (session["user_id"], session["username"])
    assert caller.expires_at - time.time() == pytest.approx(12 * 3600, abs=60)
    with pytest.raises(RateLimited) as refused:
        session_of(sessions)
    assert refused.value.retry_after == pytest.approx(60)
    now += 60
    assert session_of(sessions).status == 200


def test_demo_tokens_have_the_configured_audience_and_issuer():
    config = Config(jwt_key=KEY, jwt_audience=("games", "shop"), jwt_issuer="us")
    token = minter(config)(identities.CURL, 60)
    verifier = TokenVerifier(KeySet([secret_key(KEY)]), audience="games", issuer="us")
    assert verifier.verify(token).user_id == identities.CURL.user_id


def test_demo_warns_about_public_addresses_and_an_external_database():
    config = Config(host="0.0.0.0", mongodb_uri="mongodb://db/?replicaSet=rs0", mongodb_database="live")
    text = guide.render(config, "http://127.0.0.1:8000", "t", 1, bold=False)
    assert "1 simulated player." in text
    assert "Everyone who can reach 0.0.0.0 can play" in text
    assert 'written to the database "live"' in text
    quiet = guide.render(Config(), "http://127.0.0.1:8000", "t", 2, bold=False)
    assert "Whoever" not in quiet
    assert "written" not in quiet


def test_demo_curl_lines_follow_actions_max_increment_and_tls():
    config = Config(action_points={"jump": 3}, max_increment=2)
    text = guide.render(config, "https://127.0.0.1:8000", "t", 2, bold=False)
    assert '{"score":2}' in text
    assert '"actionType":"jump"' in text
    assert text.count("curl -k $URL/") == 5


def test_demo_has_a_curl_line_of_the_second_board():
    config = Config(boards=(MAIN, TIME_TRIAL, Board("more")))
    text = guide.render(config, "http://127.0.0.1:8000", "t", 2, bold=False)
    assert """curl $URL/boards/kart/api/v1/scores -H "Authorization: Bearer $TOKEN" --json '{"score":82500}'""" in text
    assert "/boards/more" not in text


def test_demo_prints_a_usable_address_for_every_interface():
    assert guide.reachable("http://0.0.0.0:8000") == "http://127.0.0.1:8000"
    assert guide.reachable("https://[::]:8000") == "https://127.0.0.1:8000"
    assert guide.reachable("http://10.0.0.7:8000") == "http://10.0.0.7:8000"
