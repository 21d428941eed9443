"""The live page: what an eye sees, in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.support.browser import Faults, OpenPage
from tests.support.fake_service import FakeService, Player, places, update
from tests.web.client import AT_ONCE, LATEST, REFUSED

pytestmark = pytest.mark.asyncio(loop_scope="session")


def names(page: Any) -> Any:
    return page.locator("#board tbody .name")


def ranks(page: Any) -> Any:
    return page.locator("#board tbody .medal")


def scores(page: Any) -> Any:
    return page.locator("#board tbody .points")


async def test_page_first_render_shows_the_board(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("Ada", 12_500), Player("Bob", 300), Player("Cy", 300), Player("Di", 1)])
    page = await open_page()
    await expect(names(page)).to_have_text(["Ada", "Bob", "Cy", "Di"])
    await expect(ranks(page)).to_have_text(["1", "2", "2", "4"])
    await expect(scores(page)).to_have_text(["12,500", "300", "300", "1"])
    await expect(page.locator("#status")).to_have_text("Live")
    await expect(page.locator("#banner, #play, #empty, #changed")).to_have_count(4)
    for hidden in ("#banner", "#play", "#empty", "#changed"):
        await expect(page.locator(hidden)).to_be_hidden()


async def test_rows_move_without_new_elements(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("Ada", 30), Player("Bob", 20), Player("Cy", 10)])
    page = await open_page()
    await expect(names(page)).to_have_text(["Ada", "Bob", "Cy"])
    await page.evaluate("document.querySelectorAll('#board tbody tr').forEach((row, at) => (row.was = at))")
    fake_service.show([Player("Ada", 30), Player("Bob", 20), Player("Cy", 45)])
    await expect(names(page)).to_have_text(["Cy", "Ada", "Bob"])
    assert await page.evaluate("[...document.querySelectorAll('#board tbody tr')].map((row) => row.was)") == [2, 0, 1]
    await expect(page.locator("#changed time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))


async def test_changed_score_is_highlighted_briefly(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("Ada", 1_000), Player("Bob", 20)])
    page = await open_page(clock=True)
    await expect(names(page)).to_have_text(["Ada", "Bob"])
    await expect(page.locator(".changed")).to_have_count(0)
    fake_service.show([Player("Ada", 1_000), Player("Bob", 25)])
    await expect(page.locator(".changed .points")).to_have_text("25")
    await expect(page.locator(".changed .gain")).to_have_text("+5")
    await page.clock.run_for(2_000)
    await expect(page.locator(".changed")).to_have_count(0)


async def test_newest_of_many_changes_wins(open_page: OpenPage, fake_service: FakeService) -> None:
    page = await open_page()
    await expect(page.locator("#status")).to_have_text("Live")
    for score in range(1, 51):
        fake_service.show([Player("Ada", score), Player("Bob", 25)])
    await expect(names(page)).to_have_text(["Ada", "Bob"])
    await expect(scores(page)).to_have_text(["50", "25"])


async def test_stale_version_is_ignored(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.show([Player("Ada", 30)])
    page = await open_page(init=LATEST)
    await expect(names(page)).to_have_text(["Ada"])
    fake_service.send(update(places([Player("Stale", 99)]), fake_service.version - 1))
    fake_service.show([Player("Ada", 30), Player("Bob", 7)])
    await expect(names(page)).to_have_text(["Ada", "Bob"])


async def test_emptied_positions_are_removed_until_the_board_is_empty(
    open_page: OpenPage, fake_service: FakeService
) -> None:
    fake_service.rows = places([Player("Ada", 30), Player("Bob", 20), Player("Cy", 10)])
    page = await open_page()
    await expect(names(page)).to_have_text(["Ada", "Bob", "Cy"])
    fake_service.show([Player("Bob", 20)])
    await expect(names(page)).to_have_text(["Bob"])
    await expect(ranks(page)).to_have_text(["1"])
    fake_service.show([])
    await expect(names(page)).to_have_count(0)
    await expect(page.locator("#empty")).to_contain_text("No player has scored yet")
    fake_service.show([Player("Zoë", 1)])
    await expect(names(page)).to_have_text(["Zoë"])
    await expect(page.locator("#empty")).to_be_hidden()


async def test_banner_shows_the_disconnection_time_until_reconnected(
    open_page: OpenPage, fake_service: FakeService, faults: Faults
) -> None:
    faults.expect(REFUSED)
    fake_service.rows = places([Player("Ada", 30)])
    page = await open_page(init=AT_ONCE)
    await expect(names(page)).to_have_text(["Ada"])
    await fake_service.stop()
    await expect(page.locator("#status")).to_have_text("Disconnected")
    since = page.locator("#banner time")
    await expect(since).to_be_visible()
    first = await since.get_attribute("datetime")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first)
    await expect(names(page)).to_have_text(["Ada"])  # what was last known stays
    assert await since.get_attribute("datetime") == first
    fake_service.rows = places([Player("Bob", 40), Player("Ada", 30)])
    await fake_service.start()
    await expect(page.locator("#status")).to_have_text("Live")
    await expect(page.locator("#banner")).to_be_hidden()
    await expect(names(page)).to_have_text(["Bob", "Ada"])


async def test_short_interruption_moves_nothing(open_page: OpenPage, fake_service: FakeService) -> None:
    page = await open_page(init=AT_ONCE, clock=True)
    await expect(page.locator("#status")).to_have_text("Live")
    fake_service.close(1001, "going away")
    await fake_service.until(lambda: fake_service.connections == 2)
    await expect(page.locator("#status")).to_have_text("Live")
    await page.clock.run_for(10_000)
    await expect(page.locator("#banner")).to_be_hidden()


async def test_refusal_is_shown_and_can_be_retried(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.refusal = (4403, "origin_not_allowed")
    page = await open_page()
    await expect(page.locator("#banner")).to_contain_text("the server refused (origin_not_allowed)")
    fake_service.refusal = None
    await page.get_by_role("button", name="Retry now").click()
    await expect(page.locator("#status")).to_have_text("Live")


async def test_hostile_name_stays_text(open_page: OpenPage, fake_service: FakeService) -> None:
    hostile = '<img src=x onerror="window.owned=1"><b>hi'
    fake_service.rows = places([Player(hostile, 30, id="x"), Player("\u202eevil", 20, id="y")])
    page = await open_page()
    await expect(names(page)).to_have_text([hostile, "\u202eevil"])
    assert await page.evaluate("window.owned") is None
    await expect(page.locator("tbody img, tbody b")).to_have_count(0)


async def test_picture_that_fails_is_replaced_by_the_initial(
    open_page: OpenPage, fake_service: FakeService, faults: Faults
) -> None:
    faults.expect("Failed to load resource")
    good, broken = fake_service.url + "static/icon.svg", fake_service.url + "static/none.png"
    fake_service.rows = places(
        [
            Player("Ada Lovelace", 30, avatar=good),
            Player("Grace Hopper", 20, avatar=broken),
            Player("たなか", 10, avatar="javascript:alert(1)"),
        ]
    )
    page = await open_page()
    avatars = page.locator(".avatar")
    await expect(avatars).to_have_text(["AL", "GH", "た"])
    await expect(avatars.nth(0).locator("img")).to_have_attribute("referrerpolicy", "no-referrer")
    await expect(avatars.nth(1).locator("img")).to_have_count(0)
    await expect(avatars.nth(2).locator("img")).to_have_count(0)


INITIALS = {
    "\u200dAda": "A",
    "\u0301da": "D",
    "\u2060\ufe0fBo Bo": "BB",
    "\u3164\u2800Cy": "C",
    "!!!": "!",
    "\u200d \u0301 -": "-",
    "🦊 fox": "🦊",
    "👩\u200d👩\u200d👧 fam": "👩\u200d👩\u200d👧",
    "e\u0301va": "E\u0301",
    "עברית שלום": "ע",
}


async def test_initial_is_the_first_visible_character(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player(name, 100 - n) for n, name in enumerate(INITIALS)])
    page = await open_page()
    await expect(names(page)).to_have_count(len(INITIALS))
    assert await page.locator(".avatar").all_inner_texts() == list(INITIALS.values())
    widths = "(all) => all.map((one) => { const r = document.createRange(); r.selectNodeContents(one);"
    shown = await page.locator(".avatar").evaluate_all(f"{widths} return r.getBoundingClientRect().width; }})")
    assert all(width > 1 for width in shown), shown


async def test_invisible_name_has_the_initial_of_its_id(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("\u3164", 9, id="zoe")])
    page = await open_page()
    await expect(page.locator(".avatar")).to_have_text("z")


async def test_direction_of_a_name_is_isolated(open_page: OpenPage, fake_service: FakeService) -> None:
    """The rank, the badge and the score of its row are where they are in the row of a name in Latin letters."""
    others = ["\u202eabc", "שלום 12", "\u2067abc 34", "عربي ٣٤ (", "\u202eabc\u2066"]
    fake_service.rows = places([Player(name, 12) for name in ("Ada 12", *others)])
    page = await open_page()
    await expect(names(page)).to_have_count(6)
    left = "(all) => all.map((one) => Math.round(one.getBoundingClientRect().left))"
    for part in (".medal", ".avatar", ".points"):
        found = await page.locator(f"#board tbody {part}").evaluate_all(left)
        assert found == [found[0]] * 6, part
    texts = await page.locator("#board tbody .points").all_inner_texts()
    assert texts == ["12"] * 6
    style = "(all) => all.map((one) => [getComputedStyle(one).unicodeBidi, one.dir])"
    assert await names(page).evaluate_all(style) == [["isolate", "auto"]] * 6


async def test_page_is_not_wider_than_the_screen(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.session = None
    fake_service.rows = places(
        [
            Player("W" * 64, 2**53 - 1, id="a"),
            Player("سارة العبدالله " * 4, 12_000, id="b"),
            Player("Z\u0334\u0310\u0351a\u0315\u0300l\u0340g\u0338o" * 4, 11_000, id="c"),
            Player("no-break" * 8, 10, id="d"),
        ]
    )
    page = await open_page()
    await expect(names(page)).to_have_count(4)
    for width in (320, 360, 768, 1440, 3840):
        await page.set_viewport_size({"width": width, "height": 740})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        for row in await page.locator("#board tbody tr").all():
            name, score = await row.locator(".name").bounding_box(), await row.locator(".points").bounding_box()
            assert name["width"] > 30
            assert name["x"] + name["width"] <= score["x"] + 1
            assert score["x"] + score["width"] <= width
    right_to_left = page.locator("#board .name").nth(1)
    assert await right_to_left.evaluate("(name) => getComputedStyle(name).direction") == "rtl"


async def test_ten_rows_fit_a_screen(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player(f"Player {n}", 100 - n) for n in range(10)])
    page = await open_page()
    await expect(names(page)).to_have_count(10)
    for width, height in ((1440, 900), (1920, 1080), (3840, 2160)):
        await page.set_viewport_size({"width": width, "height": height})
        assert await page.evaluate("document.documentElement.scrollHeight") <= height
        last = await names(page).nth(9).bounding_box()
        assert last["y"] > 0.8 * height
