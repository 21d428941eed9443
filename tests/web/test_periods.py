"""Periods on the live page: the tabs, the time that is left, the end of an epoch, and its result."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import expect

from tests.support.browser import Faults, OpenPage
from tests.support.fake_service import FakeService, Player, Reply, Session, places

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOW = datetime(2040, 1, 2, 10, tzinfo=UTC)
"""The service's time, which is not that of the page."""


def epoch(number: int, state: str = "open", *, start: float = -3600, end: float | None = 90) -> dict[str, Any]:
    """An epoch. `start`, `end`: seconds from now."""
    first, last = (None if at is None else (NOW + timedelta(seconds=at)).isoformat() for at in (start, end))
    return {"epoch": number, "state": state, "start": first, "end": last}


def period(
    name: str, current: dict[str, Any], previous: dict[str, Any] | None = None, review: float = 0
) -> dict[str, Any]:
    return {"name": name, "review": review, "current": current, "previous": previous}


def announcement(number: int, *, end: float | None) -> dict[str, Any]:
    """A message of the socket. `end`: seconds from now."""
    last = None if end is None else (NOW + timedelta(seconds=end)).isoformat()
    state = {"epoch": number, "state": "open", "end": last, "now": NOW.isoformat()}
    return {"type": "period", "period": "weekly", **state}


def result(*players: tuple[str, int]) -> list[dict[str, Any]]:
    return [
        {"rank": rank, "user_id": name, "username": name, "avatar_url": None, "score": score}
        for rank, (name, score) in enumerate(players, start=1)
    ]


OVER = epoch(14, "sealed", start=-7200, end=-3600)


@pytest.fixture
def weekly(fake_service: FakeService) -> FakeService:
    fake_service.time = NOW
    fake_service.periods = [period("weekly", epoch(15), OVER), period("season", epoch(1, end=None))]
    fake_service.results[14] = result(("Ada", 2**63 - 1), ("Bob", 20))
    fake_service.rows = places([Player("Cy", 5)])
    return fake_service


async def test_board_without_periods_has_no_tabs(open_page: OpenPage, fake_service: FakeService) -> None:
    page = await open_page()
    await expect(page.locator("#status")).to_have_text("Live")
    await page.evaluate("fetch('api/v1/periods')")  # after the page's own
    await expect(page.locator("#periods")).to_be_hidden()
    assert await page.title() == "Leaderboard"


async def test_tab_leads_to_the_socket_of_the_period(open_page: OpenPage, weekly: FakeService) -> None:
    page = await open_page()
    links = page.get_by_role("navigation", name="Periods").get_by_role("link")
    await expect(links).to_have_text(["All time", "weekly 1:30", "weekly: last result", "season"])
    await expect(page.locator("#periods [aria-current=page]")).to_have_text("All time")
    await links.nth(1).click()
    await expect(page.locator("#periods [aria-current=page]")).to_have_text("weekly 1:30")
    await expect(page.locator("#board .name")).to_have_text(["Cy"])
    assert await page.title() == "weekly · Leaderboard"
    assert weekly.uris == ["/ws/leaderboard", "/ws/leaderboard?period=weekly"]


async def test_board_that_shows_a_period_has_its_tab_and_one_of_all_time(
    open_page: OpenPage, weekly: FakeService
) -> None:
    weekly.boards = [*weekly.boards, {**weekly.boards[0], "name": "kart"}]
    weekly.shows = "season"
    page = await open_page("?board=kart")
    await expect(page.locator("#periods [aria-current=page]")).to_have_text("season")
    await page.get_by_role("link", name="All time").click()
    await expect(page.locator("#periods [aria-current=page]")).to_have_text("All time")
    assert weekly.uris == ["/boards/kart/ws/leaderboard", "/boards/kart/ws/leaderboard?period=all"]
    assert await page.title() == "kart · Leaderboard"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "0:05"), (3599, "59:59"), (3600, "1 h 0 min"), (86_399, "23 h 59 min"), (93_600, "1 d 2 h"), (0, "0:00")],
)
async def test_time_left_is_that_of_the_services_clock(
    open_page: OpenPage, weekly: FakeService, seconds: int, text: str
) -> None:
    weekly.periods = [period("weekly", epoch(15, end=seconds))]
    page = await open_page(init="Date.now = () => 1_000_000")
    await expect(page.locator("#periods span")).to_have_text([text])


async def test_time_left_counts_down(open_page: OpenPage, weekly: FakeService) -> None:
    weekly.periods = [period("weekly", epoch(15, end=600))]
    page = await open_page(clock=True)
    await expect(page.locator("#periods span")).to_have_text("10:00")
    await page.clock.run_for(300_000)
    await expect(page.locator("#periods span")).to_contain_text("4:5")


async def test_end_of_an_epoch_empties_the_board_and_adds_its_result(open_page: OpenPage, weekly: FakeService) -> None:
    weekly.periods = [period("weekly", epoch(14, end=60))]
    page = await open_page("?period=weekly", clock=True)
    tabs = page.locator("#periods a:visible")
    await expect(page.locator("#board .name")).to_have_text(["Cy"])
    await expect(tabs).to_have_count(2)
    weekly.time = NOW + timedelta(seconds=61)
    weekly.periods = [period("weekly", epoch(15, start=60, end=660), epoch(14, "closing", end=60))]
    await page.clock.run_for(66_000)
    await expect(tabs).to_have_count(3)
    await expect(tabs.nth(1)).to_contain_text("weekly 9:5")
    await expect(page.locator("#announcer")).to_have_text("weekly has begun again.")
    weekly.show([])
    await page.clock.run_for(1_000)
    await expect(page.locator("#empty")).to_be_visible()


async def test_periods_are_read_again_when_an_epoch_is_ended_by_hand(open_page: OpenPage, weekly: FakeService) -> None:
    page = await open_page("?period=season", clock=True)
    await expect(page.locator("#board .name")).to_have_text(["Cy"])
    await expect(page.get_by_role("link", name="season")).to_have_count(1)
    weekly.periods = [weekly.periods[0], period("season", epoch(2, end=None), epoch(1, "closing", end=0))]
    weekly.show([])
    await page.clock.run_for(6_000)
    await expect(page.get_by_role("link", name="season: last result")).to_be_visible()


async def test_announced_end_is_not_read_again(open_page: OpenPage, weekly: FakeService) -> None:
    weekly.periods = [period("weekly", epoch(1, end=3600))]
    page = await open_page("?period=weekly", clock=True)
    tabs = page.locator("#periods a:visible")
    await expect(tabs).to_have_text(["All time", "weekly 1 h 0 min"])
    weekly.send(announcement(1, end=30))  # an end by hand
    await expect(tabs.nth(1)).to_have_text("weekly 0:30")
    reads = weekly.period_reads
    await page.clock.run_for(31_000)
    await expect(tabs.nth(1)).to_have_text("weekly 0:00")
    weekly.send(announcement(2, end=None))
    await expect(tabs).to_have_text(["All time", "weekly ", "weekly: last result"])
    await page.clock.run_for(1_000)
    await expect(page.locator("#announcer")).to_have_text("weekly has begun again.")
    weekly.show([])
    await page.clock.run_for(20_000)
    await expect(page.locator("#empty")).to_be_visible()
    assert weekly.period_reads == reads


async def test_end_is_read_if_the_next_epoch_is_not_announced(open_page: OpenPage, weekly: FakeService) -> None:
    page = await open_page("?period=weekly", clock=True)
    await expect(page.get_by_role("link", name="weekly 1:30")).to_have_count(1)
    weekly.send(announcement(15, end=5))
    await expect(page.get_by_role("link", name="weekly 0:05")).to_have_count(1)
    weekly.periods = [period("weekly", epoch(16, start=5, end=605), epoch(15, "closing", end=5))]
    weekly.time = NOW + timedelta(seconds=25)
    await page.clock.run_for(22_000)
    await expect(page.get_by_role("link", name="weekly 9:")).to_have_count(1)


async def test_result_is_shown_without_a_socket(open_page: OpenPage, weekly: FakeService) -> None:
    weekly.session = Session()
    page = await open_page("?period=weekly&epoch=previous", timezone_id="UTC")
    await expect(page.locator("#board .name")).to_have_text(["Ada", "Bob"])
    await expect(page.locator("#board .points")).to_have_text(["9,223,372,036,854,775,807", "20"])
    await expect(page.locator("#status")).to_have_text("Final")
    await expect(page.locator("#changed")).to_have_text("2 Jan 2040, 08:00–09:00")
    await expect(page.locator("#periods [aria-current=page]")).to_have_text("weekly: last result")
    await expect(page.get_by_role("table", name="They do not change.")).to_be_visible()
    await expect(page.locator("#play")).to_be_hidden()
    assert await page.title() == "weekly: last result · Leaderboard"
    assert weekly.uris == []


async def test_result_is_read_when_the_service_is_back(
    open_page: OpenPage, weekly: FakeService, faults: Faults
) -> None:
    faults.expect("503")
    boards, weekly.boards = weekly.boards, []
    page = await open_page("?period=weekly&epoch=previous", clock=True)
    await expect(page.locator("#status")).to_have_text("Connecting…")
    weekly.boards = boards
    await page.clock.run_for(6_000)
    await expect(page.locator("#board .name")).to_have_text(["Ada", "Bob"])


async def test_result_that_is_closing_appears_when_it_is_final(open_page: OpenPage, weekly: FakeService) -> None:
    closing = {**OVER, "end": (NOW - timedelta(seconds=2)).isoformat()}
    weekly.periods = [period("weekly", epoch(15), {**closing, "state": "closing"}, review=30)]
    page = await open_page("?period=weekly&epoch=previous", clock=True)
    await expect(page.locator("#status")).to_have_text("Closing")
    await expect(page.locator("#empty")).to_have_text("The result is not final yet. It appears here by itself.")
    weekly.periods = [period("weekly", epoch(15), {**closing, "state": "sealed"})]
    await page.clock.run_for(30_000)
    await expect(page.locator("#status")).to_have_text("Closing")  # grace and review take 40 seconds
    await page.clock.run_for(10_000)
    await expect(page.locator("#board .name")).to_have_text(["Ada", "Bob"])
    await expect(page.locator("#status")).to_have_text("Final")
    await expect(page.locator("#empty")).to_be_hidden()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("?period=%3Cb%3E&epoch=previous", "There is no period <b>."),
        ("?period=season&epoch=previous", "season has no result yet."),
        ("?period=%3Cb%3E", "There is no period <b>."),
    ],
)
async def test_period_or_result_that_there_is_not_is_named(
    open_page: OpenPage, weekly: FakeService, faults: Faults, address: str, text: str
) -> None:
    faults.expect("period_not_found")
    weekly.refusal = (4404, "period_not_found")
    page = await open_page(address)
    await expect(page.locator("#empty")).to_have_text(text)
    await expect(page.locator("#periods a:visible")).to_have_count(4)
    await expect(page.locator("#status:visible, #banner:visible")).to_have_count(0)


async def test_play_panel_shows_the_place_in_the_period(open_page: OpenPage, weekly: FakeService) -> None:
    weekly.session = Session()
    weekly.rows = places([Player("Cy", 50), Player("Robin", 5, id="me")])
    weekly.replies = [Reply(200, {"success": True, "newScore": 999, "leaderboardPosition": 7, "message": ""})]
    page = await open_page("?period=weekly", clock=True)
    await expect(page.locator("#play .mine")).to_have_text("5 points · rank 2 · 45 to the next")
    await page.get_by_role("button", name="Level complete").click()
    await expect(page.locator("#play output")).to_have_text("Counted.")
    await page.clock.run_for(2_500)
    await expect(page.locator("#play .mine")).to_have_text("5 points · rank 2 · 45 to the next")
    weekly.show([])
    await page.clock.run_for(2_500)
    await expect(page.locator("#play .mine")).to_have_text("No points yet")
    assert set(weekly.reads) == {"/api/leaderboard?period=weekly"}


@pytest.mark.parametrize("address", ["?period=weekly", "?period=weekly&epoch=previous"])
async def test_axe_reports_no_violation_of_periods(open_page: OpenPage, weekly: FakeService, address: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright")
    page = await open_page(address, reduced_motion="reduce")
    await expect(page.locator("#periods a")).to_have_count(5)
    await expect(page.locator("tbody tr")).not_to_have_count(0)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = await axe.Axe().run(page)
        assert found.response["violations"] == [], scheme
