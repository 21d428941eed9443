"""A real, headless Chromium, driven by Playwright; where there is none the tests are skipped, but not in CI."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from tests.web.client import AT_ONCE, CONNECT, Client
from tests.web.fake_service import FakeService

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SCREEN = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}

OpenPage = Callable[..., Awaitable[Page]]
Connect = Callable[..., Awaitable[Client]]


class Faults:
    """What the pages wrote to the console as an error, or threw; `expect` says which a test provokes."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._expected: list[str] = []

    def expect(self, pattern: str) -> None:
        self._expected.append(pattern)

    @property
    def unexpected(self) -> list[str]:
        return [text for text in self.seen if not any(re.search(pattern, text) for pattern in self._expected)]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "The page's tests need a browser: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def fake_service() -> AsyncIterator[FakeService]:
    fake_service = FakeService()
    await fake_service.start()
    yield fake_service
    await fake_service.stop()


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, fake_service: FakeService, faults: Faults) -> AsyncIterator[OpenPage]:
    """Open a page of the stand-in: `await open_page(path, init=script, clock=True, **context options)`.

    `clock` puts the page's time under the test's control; `init` runs before the page's own scripts.
    """
    contexts: list[BrowserContext] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.seen.append(message.text)

    async def open_page(path: str = "", *, init: str = "", clock: bool = False, **options: Any) -> Page:
        contexts.append(await browser.new_context(**{**SCREEN, **options}))
        page = await contexts[-1].new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: faults.seen.append(str(error)))
        await page.add_init_script(f"{init};")
        if clock:
            await page.clock.install()
        await page.goto(fake_service.url + path)
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert faults.unexpected == []


@pytest.fixture
def connect(open_page: OpenPage) -> Connect:
    """Connect in a blank page: `await connect(token=…, tokens=[…], random=LATEST, clock=True)`."""

    async def connect(*, random: str = AT_ONCE, clock: bool = False, **options: Any) -> Client:
        page = await open_page("blank", init=random, clock=clock)
        await page.evaluate(CONNECT, options)
        return Client(page)

    return connect
