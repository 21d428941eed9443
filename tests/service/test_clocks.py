"""Two services whose clocks are ten minutes apart, on a board with periods: ages are by the database's clock."""

from __future__ import annotations

import pytest

from tests.support import faketime
from tests.support.requirements import missing
from tests.support.service import token
from tests.support.wait import wait_until

BOARDS = "boards:\n  main:\n    periods: {season: {}}\n"


@pytest.fixture
def services(start, mongo_database, tmp_path):
    """Functions that add points to alice by one service, and by one whose clock is ahead."""
    if faketime.library() is None:
        missing(faketime.NEEDED)
    boards = tmp_path / "boards.yaml"
    boards.write_text(BOARDS)
    uri, name = mongo_database

    def scoring(env):
        flags = ("--boards-file", str(boards), "--rate-limit", "3/60s")
        service = start(*flags, uri=uri, database=name, env=env)

        def score(points, action_id):
            return service.post(
                "/api/v1/scores",
                {"points": points},
                token=token("alice", ttl=7200),
                headers={"Idempotency-Key": action_id},
            )

        return score

    return scoring({}), scoring(faketime.environment("+10m"))


@pytest.mark.long
def test_id_counts_once_and_the_rate_limit_holds_over_clocks_that_are_apart(services):
    here, ahead = services
    first = here(5, "a-1")
    assert (first.status, first.json["score"]) == (200, 5)
    wait_until(lambda: ahead(7, "a-2").json["score"] == 12, what="the other service adds to it")
    again = here(5, "a-1")
    assert (again.status, again.json["score"]) == (200, 5)
    assert ahead(7, "a-2").json["score"] == 12
    assert here(1, "a-3").json["score"] == 13
    for score in (here, ahead):
        assert score(1, "a-4").status == 429
