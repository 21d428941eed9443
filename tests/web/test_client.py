"""`leaderboard.js`: the board that it reports, and its authentication."""

from __future__ import annotations

import pytest

from tests.support.fake_service import FakeService, Player, places, update
from tests.web.client import LATEST
from tests.web.conftest import Connect

pytestmark = pytest.mark.asyncio(loop_scope="session")


# -- what is shown ---------------------------------------------------------------------------------


async def test_first_message_is_the_board_and_later_ones_are_changes(
    connect: Connect, fake_service: FakeService
) -> None:
    fake_service.rows = places([Player("Ada", 30), Player("Bob", 20), Player("Cy", 20), Player("Di", 10)])
    client = await connect()
    await client.shows("1 Ada 30", "2 Bob 20", "2 Cy 20", "4 Di 10")
    fake_service.show([Player("Ada", 30), Player("Bob", 20), Player("Cy", 40)])
    await client.shows("1 Cy 40", "2 Ada 30", "3 Bob 20")
    assert await client.states() == ["connecting", "live"]


async def test_empty_board_is_live(connect: Connect) -> None:
    client = await connect()
    await client.shows()
    await client.state("live")


async def test_stale_change_is_ignored_and_a_new_connection_sends_the_board(
    connect: Connect, fake_service: FakeService
) -> None:
    fake_service.show([Player("Ada", 30)])
    client = await connect(random=LATEST, clock=True)
    await client.shows("1 Ada 30")
    fake_service.send(update(places([Player("Old", 99)]), fake_service.version - 1))
    fake_service.show([Player("Ada", 31)])
    await client.shows("1 Ada 31")
    await client.page.clock.run_for(6_000)
    await fake_service.until(lambda: fake_service.connections == 2)
    assert "1 Old 99" not in str(await client.page.evaluate("log.boards"))
    assert await client.states() == ["connecting", "live"]


async def test_lagging_replica_is_not_shown_until_it_catches_up(connect: Connect, fake_service: FakeService) -> None:
    fake_service.rows, fake_service.version = places([Player("Ada", 30)]), 100
    client = await connect()
    await client.shows("1 Ada 30")
    fake_service.rows, fake_service.version = places([Player("Ada", 20), Player("Bob", 10)]), 98
    fake_service.close(1001, "going away")
    await client.sees("log.states.length === 4 && log.states.at(-1).name === 'live'")
    fake_service.show([Player("Ada", 30), Player("Bob", 10)])  # version 99
    fake_service.show([Player("Ada", 30), Player("Bob", 40)])  # version 100
    await client.shows("1 Bob 40", "2 Ada 30")
    assert [board["version"] for board in await client.page.evaluate("log.boards")] == [100, 100]


async def test_older_board_that_stays_older_is_shown(connect: Connect, fake_service: FakeService) -> None:
    fake_service.rows, fake_service.version = places([Player("Ada", 30)]), 100
    client = await connect(clock=True)
    await client.shows("1 Ada 30")
    fake_service.rows, fake_service.version = places([Player("Restored", 5)]), 7
    fake_service.close(1001, "going away")
    await client.sees("log.states.length === 4")
    await client.page.clock.run_for(4_000)
    assert len(await client.page.evaluate("log.boards")) == 1
    await client.page.clock.run_for(1_500)
    await client.shows("1 Restored 5")


async def test_scores_beyond_a_javascript_number_are_exact(connect: Connect, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("Ada", 2**63 - 1), Player("Bob", 2**53 - 1)])
    client = await connect()
    await client.shows("1 Ada 9223372036854775807", "2 Bob 9007199254740991")


# -- who is connected ------------------------------------------------------------------------------


async def test_token_is_the_first_message_and_never_in_the_url(connect: Connect, fake_service: FakeService) -> None:
    client = await connect(token="secret")
    await fake_service.until(lambda: len(fake_service.heard) == 1)
    assert fake_service.heard == [{"type": "authenticate", "token": "secret"}]
    assert fake_service.uris == ["/ws/leaderboard"]
    score = {"newScore": 150, "leaderboardPosition": 12, "change": 50}
    fake_service.send({"type": "user.scoreUpdate", "data": score, "version": 1})
    await client.sees("log.scores.length === 1")
    assert await client.page.evaluate("log.scores") == [["newScore 150", "leaderboardPosition 12", "change 50"]]


async def test_invalid_token_is_final_until_retry_is_called(connect: Connect, fake_service: FakeService) -> None:
    fake_service.bad_tokens = {"bad"}
    client = await connect(token="bad", clock=True)
    state = await client.state("disconnected")
    assert (state["code"], state["reason"], state["retryAt"]) == (4401, "invalid_token", None)
    await client.page.clock.run_for(120_000)
    assert fake_service.connections == 1
    fake_service.bad_tokens = set()
    await client.page.evaluate("connection.retry()")
    await client.state("live")


async def test_refused_token_is_renewed_once(connect: Connect, fake_service: FakeService) -> None:
    fake_service.bad_tokens = {"old", "other"}
    client = await connect(tokens=["old", "new"])
    await fake_service.until(lambda: [heard["token"] for heard in fake_service.heard] == ["old", "new"])
    await client.state("live")
    assert await client.page.evaluate("log.asked") == [False, True]

    stubborn = await connect(tokens=["old", "other", "new"])
    await stubborn.sees("log.states.at(-1).name === 'disconnected' && log.states.at(-1).retryAt === null")
    assert await stubborn.page.evaluate("log.asked") == [False, True]


async def test_refusal_is_final_except_for_too_many_connections(connect: Connect, fake_service: FakeService) -> None:
    fake_service.refusal = (4403, "origin_not_allowed")
    state = await (await connect()).state("disconnected")
    assert (state["reason"], state["retryAt"]) == ("origin_not_allowed", None)
    fake_service.refusal = (4429, "rate_limited")
    state = await (await connect()).state("disconnected")
    assert 29_000 < state["wait"] <= 60_000
