"""The live page on the real service: scores go in over HTTP, come back through MongoDB, and move the rows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.support.browser import Faults, OpenPage
from tests.support.service import RunningService, token

pytestmark = pytest.mark.asyncio(loop_scope="session")


BOARDS = """
boards:
  main: {periods: {round: {every: 20s, from: "2026-01-01T00:00"}}}
  kart: {rule: best, order: ascending, bounds: {min: 15000, max: 3600000}}
"""


@pytest.fixture
def service(mongo_database: tuple[str, str], tmp_path: Path) -> Iterator[RunningService]:
    uri, name = mongo_database
    (tmp_path / "boards.yaml").write_text(BOARDS)
    flags = ("--boards-file", str(tmp_path / "boards.yaml"))
    running = RunningService(*flags, uri=uri, database=name).start(tmp_path / "log")
    yield running
    running.close()


async def score(service: RunningService, user: str, name: str, points: int) -> None:
    answer = await asyncio.to_thread(service.post, "/api/score", {"score": points}, token=token(user, name=name))
    assert answer.status in (200, 201)


async def test_page_updates_while_players_score(open_page: OpenPage, service: RunningService, faults: Faults) -> None:
    page = await open_page()
    await page.goto(service.url)
    names, points = page.locator("#board tbody .name"), page.locator("#board tbody .points")
    await expect(page.locator("#status")).to_have_text("Live")
    await score(service, "ada", "Ada", 300)
    await score(service, "bob", "بوب", 200)
    await score(service, "cy", "<b>Cy</b>", 100)
    await expect(names).to_have_text(["Ada", "بوب", "<b>Cy</b>"])
    await score(service, "cy", "<b>Cy</b>", 250)
    await expect(names).to_have_text(["<b>Cy</b>", "Ada", "بوب"])
    await expect(points).to_have_text(["350", "300", "200"])
    await expect(page.locator("#play")).to_be_hidden()  # only the demo hands out tokens

    faults.expect("WebSocket|ERR_CONNECTION_REFUSED")
    await asyncio.to_thread(service.stop)
    await expect(page.locator("#banner")).to_be_visible(timeout=15_000)


async def lap(service: RunningService, user: str, score: int) -> None:
    path = "/boards/kart/api/v1/scores"
    answer = await asyncio.to_thread(service.post, path, {"score": score}, token=token(user, name=user))
    assert answer.status in (200, 201)


async def test_page_switches_to_the_board_of_lap_times(service: RunningService, open_page: OpenPage) -> None:
    await score(service, "ada", "Ada", 300)
    page = await open_page()
    await page.goto(service.url)
    names, points = page.locator("#board tbody .name"), page.locator("#board tbody .points")
    await expect(names).to_have_text(["Ada"])
    await page.get_by_role("link", name="kart").click()
    await expect(page.locator("#empty")).to_be_visible()
    for user, reached in (("bob", 40_000), ("cy", 35_000), ("bob", 41_000)):
        await lap(service, user, reached)
    await expect(names).to_have_text(["cy", "bob"])
    await expect(points).to_have_text(["35,000", "40,000"])
    await lap(service, "bob", 30_000)
    await expect(names).to_have_text(["bob", "cy"])
    await page.get_by_role("link", name="main").click()
    await expect(names).to_have_text(["Ada"])


async def test_page_of_a_period_is_empty_at_its_end_and_the_result_appears(
    service: RunningService, open_page: OpenPage
) -> None:
    page = await open_page()
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda text: frames.append(str(text))))
    await page.goto(f"{service.url}?period=round")
    names, tabs = page.locator("#board tbody .name"), page.locator("#periods a:visible")
    await expect(tabs.nth(1)).to_have_text(re.compile(r"^round 0:[012]\d$"))
    await score(service, "ada", "Ada", 300)
    await expect(names).to_have_text(["Ada"])
    await expect(page.locator("#empty")).to_be_visible(timeout=30_000)
    await expect(tabs).to_have_count(3, timeout=30_000)
    assert any('"type":"period"' in text and '"epoch":2,"state":"open"' in text for text in frames)
    await tabs.nth(0).click()
    await expect(names).to_have_text(["Ada"])
    await expect(tabs).to_have_count(3)
    await tabs.nth(2).click()
    await expect(page.locator("#status")).to_have_text(re.compile("Closing|Final"))
    await expect(page.locator("#status")).to_have_text("Final", timeout=30_000)
