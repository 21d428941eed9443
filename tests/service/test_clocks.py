"""Two services whose clocks are ten minutes apart, on a board with periods: ages are by the database's clock."""

from __future__ import annotations

import pytest

from tests.support import faketime
from tests.support.requirements import missing
from tests.support.service import token

BOARDS = "boards:\n  main:\n    periods: {season: {}}\n"


@pytest.fixture
def services(start, mongo_database, tmp_path):
    """A service, and one whose clock is ahead."""
    if faketime.library() is None:
        missing(faketime.NEEDED)
    boards = tmp_path / "boards.yaml"
    boards.write_text(BOARDS)
    uri, name = mongo_database

    flags = ("--boards-file", str(boards), "--rate-limit", "3/60s")
    return [start(*flags, uri=uri, database=name, env=env) for env in ({}, faketime.environment("+10m"))]


def score(service, points, action_id):
    headers = {"Idempotency-Key": action_id}
    return service.post("/api/v1/scores", {"points": points}, token=token("alice"), headers=headers)


@pytest.mark.long
def test_id_counts_once_and_the_rate_limit_holds_over_clocks_that_are_apart(services):
    here, ahead = services
    assert score(here, 5, "a-1").json["score"] == 5
    assert score(ahead, 7, "a-2").json["score"] == 12
    again = score(here, 5, "a-1")
    assert (again.status, again.json["score"]) == (200, 5)
    assert score(ahead, 7, "a-2").json["score"] == 12
    for verb in ("hide", "show"):
        path = f"/api/v1/admin/players/alice/{verb}"
        assert ahead.post(path, {"reason": "a mistake"}, token=token("mod", scope="leaderboard:admin")).status == 200
    assert score(here, 5, "a-1").json["score"] == 5
    assert score(here, 1, "a-3").json["score"] == 13
    for service in (here, ahead):
        assert score(service, 1, "a-4").status == 429
