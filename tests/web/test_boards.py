"""The switch between boards on the live page, and the page of a board where the lowest score is first."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.support.browser import Faults, OpenPage
from tests.support.fake_service import FakeService, Player, Reply, Session, places, update
from tests.web.client import AT_ONCE

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAIN = {"name": "main", "rule": "sum", "order": "descending", "players": 2}
KART = {"name": "kart", "rule": "best", "order": "ascending", "bounds": {"min": 20, "max": 90}, "players": 2}


def laps(*times: tuple[str, int]) -> list[dict[str, Any]]:
    """The board with the lowest score first."""
    rows = places([Player(name, -time) for name, time in times])
    return [{**row, "score": -row["score"]} for row in rows]


def shares(page: Any) -> Any:
    return page.locator("#board tbody tr").evaluate_all(
        "(rows) => rows.map((row) => row.style.getPropertyValue('--share'))"
    )


@pytest.fixture
def karts(fake_service: FakeService) -> FakeService:
    fake_service.boards = [MAIN, KART]
    return fake_service


async def test_single_board_has_no_switch(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("Ada", 30)])
    page = await open_page()
    await expect(page.locator("#board .name")).to_have_text(["Ada"])
    await page.evaluate("fetch('api/v1/boards')")  # after the page's own
    await expect(page.locator("#boards")).to_be_hidden()
    assert await page.title() == "Leaderboard"
    assert fake_service.uris == ["/ws/leaderboard"]


async def test_switch_leads_to_the_socket_of_the_other_board(open_page: OpenPage, karts: FakeService) -> None:
    page = await open_page()
    links = page.get_by_role("navigation", name="Boards").get_by_role("link")
    await expect(links).to_have_text(["main", "kart"])
    await expect(page.locator("#boards [aria-current=page]")).to_have_text("main")
    await links.nth(1).click()
    await expect(page.locator("#boards [aria-current=page]")).to_have_text("kart")
    await expect(page.locator("#status")).to_have_text("Live")
    assert await page.title() == "kart · Leaderboard"
    assert karts.uris == ["/ws/leaderboard", "/boards/kart/ws/leaderboard"]
    await page.go_back()
    await expect(page.locator("#boards [aria-current=page]")).to_have_text("main")


async def test_ascending_board_has_the_longest_bar_and_the_gains_of_low_scores(
    open_page: OpenPage, karts: FakeService
) -> None:
    karts.rows = laps(("Ada", 40), ("Bob", 80))
    page = await open_page("?board=kart", clock=True)
    await expect(page.locator("#board .name")).to_have_text(["Ada", "Bob"])
    await expect(page.locator("#boards a")).to_have_count(2)
    assert await shares(page) == ["1", "0.5"]
    karts.rows = laps(("Bob", 30), ("Ada", 40))
    karts.send(update(karts.rows, 2))
    await expect(page.locator("#board .name")).to_have_text(["Bob", "Ada"])
    await expect(page.locator(".changed .gain")).to_have_text("-50")
    assert await shares(page) == ["1", "0.75"]
    await page.clock.run_for(15_000)
    await expect(page.locator("#announcer")).to_have_text("\u2068Bob\u2069 leads with 30.")


async def test_unknown_board_is_named_and_the_others_are_linked(
    open_page: OpenPage, karts: FakeService, faults: Faults
) -> None:
    faults.expect("board_not_found")
    page = await open_page("?board=%3Cb%3Ecart")
    await expect(page.locator("#empty")).to_have_text("There is no board <b>cart.")
    await expect(page.locator("#boards a")).to_have_text(["main", "kart"])
    await expect(page.locator("#boards [aria-current], #status:visible, #banner:visible")).to_have_count(0)


async def test_boards_are_read_again_when_the_service_is_back(
    open_page: OpenPage, karts: FakeService, faults: Faults
) -> None:
    faults.expect("503")
    karts.boards = []
    page = await open_page(init=AT_ONCE)
    await expect(page.locator("#status")).to_have_text("Live")
    await expect(page.locator("#boards")).to_be_hidden()
    karts.boards = [MAIN, KART]
    karts.close(1012, "restart")
    await expect(page.locator("#boards a")).to_have_count(2)


async def test_play_panel_of_a_board_of_best_scores_submits_a_score(open_page: OpenPage, karts: FakeService) -> None:
    karts.session = Session()
    karts.rows = laps(("Ada", 40), ("Robin", 80))
    karts.replies = [
        Reply(200, {"user_id": "me", "score": 41, "submitted": 60, "improved": False, "rank": 2, "total": 2})
    ]
    page = await open_page("?board=kart")
    await expect(page.locator("#play button")).to_have_text(["Play a round"])
    await page.get_by_role("button", name="Play a round").click()
    await expect(page.locator("#play output")).to_contain_text("reached. 41 now: rank 2.")
    ((authorization, body),) = karts.posts
    assert authorization == "Bearer t-1"
    assert list(body) == ["score"]
    assert 20 <= body["score"] <= 90
    await expect(page.locator("#play .mine")).to_have_text("41 · rank 2")
