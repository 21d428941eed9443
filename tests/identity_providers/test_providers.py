"""Players, game servers and moderators of each identity provider, on a real service with the provider's keys by URL."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import pytest

from tests.identity_providers.samples import EMAIL, REAL_NAME, SAMPLES, Sample, rsa
from tests.support.forgery import signing
from tests.support.jwks import Provider
from tests.support.project import ROOT
from tests.support.service import RunningService
from tests.support.wait import wait_until
from tests.support.websocket_client import opened
from tornado_app.config import load_config
from tornado_app.core.identity import MAX_TOKEN

pytestmark = pytest.mark.long
DOCS = ROOT / "docs" / "tokens.md"


class Site(NamedTuple):
    """A provider, and a service that trusts it."""

    sample: Sample
    provider: Provider
    service: RunningService

    @property
    def player(self) -> str:
        return self.sample.token(self.sample.player)

    @property
    def moderator(self) -> str:
        return self.sample.token(self.sample.moderator)

    def path(self, rest: str = "", prefix: str = "/api/v1/players/") -> str:
        return f"{prefix}{quote(self.sample.user_id, safe='')}{rest}"


@pytest.fixture(scope="module", params=SAMPLES, ids=lambda sample: sample.provider)
def site(request, replica_set, tmp_path_factory) -> Iterator[Site]:
    sample = request.param
    database = f"test_idp_{re.sub('[^a-z0-9]', '', sample.provider.lower())}_{time.monotonic_ns() % 10**6}"
    provider = Provider(json.dumps({"keys": sample.jwks}).encode())
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in sample.settings.items()]
    service = RunningService(
        "--jwt-jwks-url", provider.url, *flags, uri=replica_set.uri, database=database,
        env={"LEADERBOARD_JWT_KEY": None},
    )  # fmt: skip
    service.start(tmp_path_factory.mktemp("service") / "log")
    yield Site(sample, provider, service)
    service.close()
    provider.down()
    replica_set.drop(database)


def test_1_player_logs_in_and_scores(site):
    answer = site.service.post("/api/score", {"score": 7}, token=site.player)
    assert (answer.status, answer.json["user_id"], answer.json["score"]) == (201, site.sample.user_id, 7)
    with opened(site.service, "/ws/leaderboard") as socket:
        socket.send(json.dumps({"type": "authenticate", "token": site.player}))
        socket.client.ping().wait(10)
        body = {"actionId": "a-1", "actionType": "level_complete"}
        assert site.service.post("/api/scores/update", body, token=site.player).json["newScore"] == 57
        heard = socket.read_until(lambda message: message["type"] == "user.scoreUpdate")[-1]
        assert heard["data"]["newScore"] == 57


def test_2_player_is_read_under_the_configured_name(site):
    name = site.sample.name or site.sample.user_id
    found = site.service.get(site.path()).json
    assert (found["user_id"], found["username"], found["score"]) == (site.sample.user_id, name, 57)
    wait_until(lambda: site.service.get("/api/top-scores").json["top_scores"], what="the player is on the board")
    board = site.service.get("/api/leaderboard", token=site.player).json
    assert (board["userRank"]["rank"], board["userRank"]["score"]) == (1, 57)
    assert [(row["userId"], row["username"]) for row in board["leaderboard"]] == [(site.sample.user_id, name)]
    assert site.service.get(site.path("/around")).json["player"]["username"] == name
    assert site.service.get("/api/v1/leaderboard?limit=1").json["players"][0]["user_id"] == site.sample.user_id
    wait_until(
        lambda: len(site.service.get(site.path("/history"), token=site.player).json["entries"]) == 2, what="history"
    )


def test_3_public_data_has_no_email_address_and_no_real_name(site):
    public = ("/api/top-scores", "/api/leaderboard", "/api/v1/leaderboard", site.path(), site.path("/around"))
    for path in public:
        body = site.service.get(path).body.decode()
        assert EMAIL not in body, path
        assert REAL_NAME not in body, path
    with opened(site.service, "/ws/scoreboard") as socket:
        assert EMAIL not in json.dumps(socket.read())


def test_4_game_server_writes_for_the_player(site):
    body = {"user_id": site.sample.user_id, "score_increase": 5000}
    answer = site.service.post("/api/v1/score", body, token=site.sample.token(site.sample.server))
    assert (answer.status, answer.json["new_score"]) == (200, 5057)
    for claims in (site.sample.player, site.sample.moderator):
        answer = site.service.post("/api/v1/score", body | {"user_id": "another"}, token=site.sample.token(claims))
        assert answer.json["error"] == "user_mismatch"


REFUSED = {
    "audience": lambda s: s.token(s.player, **dict.fromkeys(("aud", "client_id", "azp"), "another")),
    "issuer": lambda s: s.token(s.player, iss="https://evil.example/"),
    "expired": lambda s: s.token(s.player, exp=int(time.time()) - 60),
    "signature": lambda s: s.token(
        s.player, key=rsa("x", 9) if s.key.algorithm == "RS256" else signing("ES256", "x", 9)
    ),
    "user_id": lambda s: s.token(s.player, sub=..., user_id=..., uid=...),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_5_other_tokens_are_refused_with_the_reason_in_the_log(site, reason):
    before = len(site.service.log)
    answer = site.service.post("/api/score", {"score": 7}, token=REFUSED[reason](site.sample))
    assert answer.status == 401
    lines = [json.loads(line) for line in site.service.log[before:].splitlines() if '"score_refused"' in line]
    assert [(line["reason"], bool(line["detail"])) for line in lines] == [(reason, True)]


def test_6_moderator_suspends_and_erases_the_player(site):
    def moderate(verb: str, token: str):
        return site.service.post(site.path(f"/{verb}", "/api/v1/admin/players/"), {"reason": "test"}, token=token)

    for claims in (site.sample.player, site.sample.server):
        assert moderate("suspend", site.sample.token(claims)).json["error"] == "insufficient_scope"
    assert moderate("suspend", site.moderator).json["suspended"] is True
    assert site.service.post("/api/score", {"score": 1}, token=site.player).json["error"] == "player_suspended"
    assert moderate("reinstate", site.moderator).json["suspended"] is False
    assert site.service.get(site.path("/history"), token=site.moderator).status == 200
    assert moderate("erase", site.moderator).status == 204
    wait_until(lambda: site.service.get(site.path()).status == 404, what="the player is gone")


def test_7_keys_for_other_purposes_are_skipped_with_a_log_line(site):
    skipped = [entry["kid"] for entry in site.sample.jwks if entry.get("use") == "enc"]
    assert site.service.log.count("of the JWK Set is skipped") == len(skipped)
    assert all(f'Key \\"{kid}\\" of the JWK Set' in site.service.log for kid in skipped)
    assert site.provider.requests == 1, "the keys are fetched once, whatever the tokens say"


def test_keycloak_token_with_many_roles_beyond_4_kb_is_accepted():
    sample = next(sample for sample in SAMPLES if sample.provider == "Keycloak")
    assert 4500 < len(sample.token(sample.player)) < MAX_TOKEN


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.provider)
def test_docs_have_the_tested_settings(sample, tmp_path):
    section = DOCS.read_text(encoding="utf-8").partition(f"### {sample.provider}\n")[2].partition("\n### ")[0]
    file = tmp_path / "leaderboard.yaml"
    file.write_text(section.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    documented, tested = load_config({"config": str(file)}, {}), load_config(dict(sample.settings), {})
    assert documented.jwt_jwks_url
    assert set(documented.sources) == {*sample.settings, "jwt_jwks_url", "config"}
    for name in sample.settings:
        assert getattr(documented, name) == getattr(tested, name), name
