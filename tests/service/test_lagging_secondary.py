"""A lagging secondary and a URI that prefers it: every response is the primary's."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymongo import MongoClient

from tests.support.service import RunningService, token
from tests.support.wait import wait_until

pytestmark = pytest.mark.long

PLAYERS = [f"p{n}" for n in range(10)]
ADMIN = token("mod", scope="leaderboard:admin")
WEAK = (
    "&readPreference=secondaryPreferred&readPreferenceTags=lags:yes&maxStalenessSeconds=90&readConcernLevel=local"
    "&w=1&journal=false&retryWrites=false&retryReads=false&timeoutMS=50&socketTimeoutMS=100&waitQueueTimeoutMS=1"
    "&localThresholdMS=1000&maxPoolSize=10"
)


@pytest.fixture
def lagging(three_members):
    """The URI of a replica set of which one member, tagged `lags`, applies nothing any more; with weak options."""
    primary = three_members.wait_healthy()
    member = next(member for member in three_members.members if member is not primary)
    with primary.client() as client:
        config = client.admin.command("replSetGetConfig")["config"]
        for each in config["members"]:
            if each["host"].endswith(f":{member.port}"):
                each.update(tags={"lags": "yes"}, priority=0)
        client.admin.command("replSetReconfig", {**config, "version": config["version"] + 1})
    with MongoClient(three_members.uri + WEAK) as client:
        wait_until(lambda: client["x"]["y"].find_one({}) is None and client.secondaries, 30, "the tagged member")
    member.lag()
    yield three_members.uri + WEAK
    member.lag(lags=False)


def test_reads_with_a_preferred_lagging_secondary_come_from_the_primary(lagging, tmp_path):
    service = RunningService("--auto-register", "true", uri=lagging).start(tmp_path / "log")
    try:
        _scores_are_answered(service)
        _reads_show_every_score(service)
        _moderation_sees_the_latest_state(service)
        assert "readPreference=secondaryPreferred is not used: every read goes to the primary" in service.log
        environ = os.environ | {"LEADERBOARD_MONGODB_URI": lagging}
        audit = [sys.executable, "-m", "tornado_app", "audit"]
        checked = subprocess.run(audit, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "10 players, 23 entries" in checked.stdout
    finally:
        service.close()


def _scores_are_answered(service):
    """Concurrent, so that the results are read back after the batch."""

    def score(player):
        return service.post("/api/v1/score", {"user_id": player, "score_increase": 5}, token=token(player))

    with ThreadPoolExecutor(len(PLAYERS)) as pool:
        for _ in range(2):
            answers = list(pool.map(score, PLAYERS))
            assert [answer.status for answer in answers] == [200] * len(PLAYERS)
    assert [answer.json["new_score"] for answer in answers] == [10] * len(PLAYERS)


def _reads_show_every_score(service):
    page = service.get("/api/v1/leaderboard").json
    assert sorted(row["user_id"] for row in page["players"]) == PLAYERS
    for player in PLAYERS:
        own = service.get(f"/api/v1/players/{player}")
        assert (own.status, own.json["score"]) == (200, 10)
    around = service.get("/api/v1/players/p5/around").json
    assert around["player"]["score"] == 10


def _moderation_sees_the_latest_state(service):
    def moderate(verb, **body):
        path = f"/api/v1/admin/players/p0/{verb}"
        return service.post(path, {"reason": "why", **body}, token=ADMIN).json

    assert moderate("suspend")["changed"]
    assert not moderate("suspend")["changed"]
    assert moderate("reinstate")["changed"]
    assert moderate("take-back", since="2020-01-01T00:00:00Z")["points_taken_back"] == 10

    def kinds():
        entries = service.get("/api/v1/players/p0/history", token=token("p0")).json["entries"]
        return [entry["kind"] for entry in reversed(entries)]

    expected = ["action", "action", "suspend", "reinstate", "take_back"]
    wait_until(lambda: kinds() == expected, 10, "the ledger has it all")
