"""`<live-leaderboard>` in a real browser, under a strict Content-Security-Policy."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.support.browser import Faults, OpenPage
from tests.support.fake_service import FakeService, Player, places

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADD = """async (attributes) => {
  await import("/static/live-leaderboard.js");
  const element = document.createElement("live-leaderboard");
  window.seen = [];
  for (const type of ["board", "state", "score", "period"])
    element.addEventListener(type, ({ detail }) => seen.push([type, detail]));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  document.body.append(element);
  window.element = element;
}"""
OF_A_WHOLE_PAGE = ("region", "page-has-heading-one", "landmark-one-main")
HOSTILE = '<img src=x onerror="document.title=`hacked`">'


async def add(open_page: OpenPage, **attributes: str) -> Page:
    page = await open_page("blank")
    await page.evaluate(ADD, {name.replace("_", "-"): value for name, value in attributes.items()})
    return page


def row(page: Page, number: int) -> Any:
    return page.locator("live-leaderboard tbody tr").nth(number)


async def test_element_rows_are_a_table_that_follows_the_board(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("Ada", 1_200), Player("Bob", 900)])
    page = await add(open_page, caption="Top players", user_id="Bob")
    await expect(page.get_by_role("table", name="Top players")).to_be_visible()
    await expect(page.get_by_role("columnheader")).to_have_text(["Rank", "Player", "Score"])
    await expect(page.get_by_role("rowheader")).to_have_text(["Ada", "Bob"])
    await expect(row(page, 0)).to_have_text("1Ada1,200")
    await expect(page.locator("live-leaderboard [aria-current=true]")).to_have_text("2Bob900")
    fake_service.show([Player("Bob", 2_000), Player("Ada", 1_200)])
    await expect(page.get_by_role("rowheader")).to_have_text(["Bob", "Ada"])
    assert [type_ for type_, _ in await page.evaluate("seen")] == ["state", "state", "board", "board"]


async def test_element_of_a_period_has_an_event_of_its_epochs(open_page: OpenPage, fake_service: FakeService) -> None:
    page = await add(open_page, period="weekly")
    await expect(page.get_by_text("No scores yet.")).to_be_visible()
    fake_service.send({"type": "period", "period": "weekly", "epoch": 15, "state": "open", "end": None, "now": "2040"})
    await page.wait_for_function("seen.at(-1)[0] === 'period'")
    expected = {"period": "weekly", "epoch": 15, "state": "open", "end": None, "remaining": None}
    assert await page.evaluate("seen.at(-1)[1]") == expected


async def test_element_names_are_text_and_keep_their_direction(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player(HOSTILE, 3), Player("لاعب", 2), Player("&lt;b&gt;", 1)])
    page = await add(open_page, caption=HOSTILE)
    await expect(page.get_by_role("rowheader")).to_have_text([HOSTILE, "لاعب", "&lt;b&gt;"])
    await expect(page.locator("live-leaderboard img")).to_have_count(0)
    assert await page.title() == "blank"
    await expect(page.locator("live-leaderboard tbody th > bdi")).to_have_count(3)


async def test_element_announces_leader_and_connection_politely(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("Ada", 3)])
    page = await add(open_page)
    await expect(row(page, 0)).to_be_visible()
    fake_service.show([Player("Bob", 9), Player("Ada", 3)])
    region = page.locator("live-leaderboard [role=status]")
    await expect(region).to_have_text("\u2068Bob\u2069 leads.")
    await expect(region).to_have_attribute("aria-live", "polite")


async def test_element_shows_an_empty_board_and_a_refusal(open_page: OpenPage, fake_service: FakeService) -> None:
    page = await add(open_page)
    await expect(page.get_by_text("No scores yet.")).to_be_visible()
    fake_service.refusal = (4403, "origin_not_allowed")
    fake_service.close(4403, "origin_not_allowed")
    status = page.locator("live-leaderboard [part=status]")
    await expect(status).to_have_text("The board is not available.")
    fake_service.refusal = None
    await page.evaluate("element.retry()")
    await expect(status).to_be_hidden()


async def test_element_uses_labels_style_and_token_of_the_page(open_page: OpenPage, fake_service: FakeService) -> None:
    fake_service.rows = places([Player("Ada", 3)])
    page = await add(open_page)
    await expect(row(page, 0)).to_be_visible()
    await page.evaluate(
        """() => {
          element.labels = { player: "Spieler", leader: (name) => `${name} führt.` };
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(`live-leaderboard { --leaderboard-color: rgb(1, 2, 3) }
            ::part(score) { font-style: italic }`);
          document.adoptedStyleSheets = [sheet];
          element.token = "secret";
        }"""
    )
    await expect(page.get_by_role("columnheader")).to_have_text(["Rank", "Spieler", "Score"])
    style = "getComputedStyle(element.shadowRoot.querySelector('[part=score]:is(td)'))"
    assert await page.evaluate(f"[{style}.color, {style}.fontStyle]") == ["rgb(1, 2, 3)", "italic"]
    table = "getComputedStyle(element.shadowRoot.querySelector('table'))"
    assert await page.evaluate(f"{table}.borderCollapse") == "collapse"
    await fake_service.until(lambda: fake_service.heard == [{"type": "authenticate", "token": "secret"}])


async def test_element_removed_from_the_page_closes_its_socket_until_it_returns(
    open_page: OpenPage, fake_service: FakeService
) -> None:
    page = await add(open_page)
    await fake_service.until(lambda: len(fake_service.sockets) == 1)
    await page.evaluate("element.remove()")
    await fake_service.until(lambda: not fake_service.sockets)
    await page.evaluate("document.body.append(element)")
    await fake_service.until(lambda: len(fake_service.sockets) == 1)


async def test_element_is_accessible(open_page: OpenPage, fake_service: FakeService, faults: Faults) -> None:
    fake_service.rows = places([Player("Ada", 3), Player("Bob", 1)])
    page = await add(open_page, caption="Top players", user_id="Ada")
    await expect(row(page, 1)).to_be_visible()
    found = await Axe().run(page, options={"rules": {name: {"enabled": False} for name in OF_A_WHOLE_PAGE}})
    assert found.violations_count == 0, found.generate_report()
