"""The page for those who listen to it, steer it by keyboard, or are made ill by motion."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from tests.support.browser import OpenPage
from tests.support.fake_service import FakeService, Player, Session, places

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT_ANNOUNCEMENTS = """() => {
  window.announced = [];
  const region = document.querySelector("#announcer");
  const observer = new MutationObserver(() => announced.push(region.textContent));
  observer.observe(region, { childList: true, characterData: true });
}"""

NOTE_ANIMATIONS = """() => {
  const targets = () => document.getAnimations().map(({ effect }) => effect.target.tagName);
  window.animated = new Promise((resolve) => {
    const look = () => requestAnimationFrame(() => resolve(targets()));
    new MutationObserver(look).observe(document.querySelector("#board tbody"), { childList: true });
  });
}"""


async def test_board_is_a_table_with_caption_and_headers(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("Ada", 30), Player("Bob", 20)])
    page = await open_page()
    table = page.get_by_role("table", name="The ten best players")
    assert await table.locator("thead th").evaluate_all("(cells) => cells.map((cell) => cell.scope)") == ["col"] * 3
    await expect(table.locator("tbody th[scope=row]")).to_have_count(2)
    await expect(table.get_by_role("rowheader", name="Ada")).to_be_visible()
    assert await table.locator("tbody bdi").evaluate_all("(names) => names.map((name) => name.dir)") == ["auto", "auto"]
    await expect(page.locator("main, h1")).to_have_count(2)
    tree = await table.aria_snapshot()
    assert '- row "1 Ada 30"' in tree  # neither initials nor gains are read out


async def test_first_board_and_score_changes_are_not_announced(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("Ada", 30), Player("Bob", 20)])
    page = await open_page(clock=True)
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.evaluate(COUNT_ANNOUNCEMENTS)
    fake_service.show([Player("Ada", 90), Player("Bob", 50), Player("Cy", 40)])
    await expect(page.locator("tbody tr")).to_have_count(3)
    await page.clock.run_for(30_000)
    assert await page.evaluate("announced") == []


async def test_new_leaders_are_announced_at_most_every_ten_seconds(
    open_page: OpenPage, fake_service: FakeService
) -> None:
    fake_service.rows = places([Player("Ada", 10), Player("Bob", 5)])
    page = await open_page(clock=True)
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.evaluate(COUNT_ANNOUNCEMENTS)
    region = page.locator("#announcer")
    await expect(region).to_have_attribute("aria-live", "polite")

    fake_service.show([Player("Ada", 10), Player("Bob", 20)])
    await expect(region).to_have_text("\u2068Bob\u2069 leads with 20 points.")
    for score in range(30, 90, 10):  # the lead goes to and fro
        fake_service.show([Player("Ada", score), Player("Bob", score - 5)])
        await page.clock.run_for(500)
        fake_service.show([Player("Ada", score), Player("Bob", score + 5)])
        await page.clock.run_for(500)
    assert len(await page.evaluate("announced")) == 1
    fake_service.show([Player("Ada", 90), Player("Bob", 90)])
    await expect(page.locator("tbody tr")).to_contain_text(["90", "90"])  # before the clock goes on
    await page.clock.run_for(9_000)
    await expect(region).to_have_text("\u2068Ada\u2069 and \u2068Bob\u2069 share the lead with 90 points.")
    assert len(await page.evaluate("announced")) == 2


async def test_disconnection_is_announced_once(open_page: OpenPage, fake_service: FakeService) -> None:
    page = await open_page(clock=True)
    await expect(page.locator("#status")).to_have_text("Live")
    await page.evaluate(COUNT_ANNOUNCEMENTS)
    fake_service.refusal = (1013, "try again later")
    fake_service.close(1013, "try again later")
    await expect(page.locator("#status")).to_have_text("Disconnected")
    await page.clock.run_for(40_000)
    assert await page.evaluate("announced") == ["Disconnected. What you see may be out of date."]
    fake_service.refusal = None
    async with asyncio.timeout(20):
        while await page.locator("#status").inner_text() != "Live":
            # An attempt that the service refused before may end after the event, and then determines the next one.
            await page.evaluate("dispatchEvent(new Event('online'))")
            await page.clock.run_for(1_000)
    await page.clock.run_for(11_000)
    assert (await page.evaluate("announced"))[1:] == ["The board is live again."]


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
async def test_reduced_motion_disables_animations(open_page: OpenPage, fake_service: FakeService, motion: str) -> None:
    fake_service.rows = places([Player("Ada", 30), Player("Bob", 20), Player("Cy", 10)])
    page = await open_page(reduced_motion=motion)
    await expect(page.locator("tbody tr")).to_have_count(3)
    await page.evaluate(NOTE_ANIMATIONS)
    fake_service.show([Player("Ada", 30), Player("Bob", 20), Player("Cy", 45)])
    animated = await page.evaluate("animated")
    assert ("TR" in animated) == (motion == "no-preference")
    assert bool(animated) == (motion == "no-preference")
    await expect(page.locator(".changed .points")).to_have_text("45")


@pytest.mark.parametrize("state", ["live", "lost", "empty"])
async def test_axe_reports_no_violation(open_page: OpenPage, fake_service: FakeService, state: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright")
    fake_service.session = Session()
    if state != "empty":
        fake_service.rows = places([Player(f"Player {n}", 100 - n) for n in range(9)] + [Player("Robin", 7, id="me")])
    if state == "live":
        fake_service.boards += [{**fake_service.boards[0], "name": "kart"}]
    page = await open_page(reduced_motion="reduce")
    await expect(page.locator("#play")).to_be_visible()
    await expect(page.locator("#boards a")).to_have_count(len(fake_service.boards))
    if state == "lost":
        fake_service.refusal = (4403, "origin_not_allowed")
        fake_service.close(4403, "origin_not_allowed")
        await expect(page.locator("#banner")).to_be_visible()
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = await axe.Axe().run(page)
        assert found.response["violations"] == [], scheme
