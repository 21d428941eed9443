"""A pytest plugin: pages of a fake service in a real, headless Chromium, driven by Playwright."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.support.fake_service import FakeService
from tests.support.requirements import missing

if TYPE_CHECKING:  # Playwright is slow to import, and most tests need no browser
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

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

OpenPage = Callable[..., Awaitable["Page"]]


class Faults:
    """Errors on the console of the pages and their exceptions; `expect` names those that the test causes."""

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
        missing("The page's tests need a browser: apt-get install chromium")
    assert path is not None
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    from playwright.async_api import async_playwright

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
    """Open a page of the fake service: `await open_page(path, init=script, clock=True, **context options)`.

    `clock` puts the page's time under the test's control; `init` runs before the page's own scripts.
    """
    contexts: list[BrowserContext] = []

    def record(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.seen.append(message.text)

    async def open_page(path: str = "", *, init: str = "", clock: bool = False, **options: Any) -> Page:
        contexts.append(await browser.new_context(**{**SCREEN, **options}))
        page = await contexts[-1].new_page()
        page.on("console", record)
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
