"""The page of the API's description, in a real browser; the network is the routes themselves."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect
from tornado.httputil import HTTPHeaders

from tornado_app.api.openapi import document
from tornado_app.api.pages import openapi as docs
from tornado_app.api.pages import static
from tornado_app.http.messages import NotFound, Request, Router

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCUMENT = document.document()
ORIGIN = "https://leaderboard.test"
PHONE = {"viewport": {"width": 360, "height": 800}}


async def answer(route: Route) -> None:
    """What the service would answer."""
    path = route.request.url.removeprefix(ORIGIN).partition("?")[0]
    request = Request("GET", path, "", HTTPHeaders(), "127.0.0.1", "id")
    try:
        found, _ = Router([*docs.routes(), *static.routes()]).find(path)
    except NotFound:
        await route.fulfill(status=404)
        return
    response: Any = found.methods["GET"](request)
    await route.fulfill(status=response.status, headers=dict(response.headers), body=response.body)


@pytest_asyncio.fixture(loop_scope="session")
async def open_docs(browser: Browser) -> AsyncIterator[Any]:
    """Open /docs, with what the browser complained about in `complaints`."""
    contexts, complaints = [], []

    async def open_docs(fragment: str = "", *, broken: bool = False, **options: Any) -> Page:
        context = await browser.new_context(**options)
        contexts.append(context)
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        await context.route("**/*", answer)
        page = await context.new_page()
        if broken:
            await page.route("**/openapi.json", lambda route: route.fulfill(status=503))
        else:
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{ORIGIN}/docs{fragment}")
        await expect(page.locator("main [role=alert]" if broken else "#errors")).to_be_attached()
        return page

    yield open_docs
    for context in contexts:
        await context.close()
    assert complaints == []


async def test_everything_of_the_document_is_on_it(open_docs: Any) -> None:
    page = await open_docs()
    sockets = [f"WS {socket['path']}" for socket in DOCUMENT["x-websockets"]]
    paths = {path: item for path, item in DOCUMENT["paths"].items() if not path.startswith("/ws/")}
    operations = [f"{method.upper()} {path}" for path, item in paths.items() for method in item]
    found = await page.locator("article h3").all_inner_texts()
    assert sorted(found) == sorted(operations + sockets)
    codes = page.get_by_role("table", name="All codes").locator("tbody th")
    await expect(codes).to_have_text([error["error"] for error in DOCUMENT["x-errors"]])
    await expect(page.locator("nav a")).to_have_count(len(found) + await page.locator("h2").count())


async def test_a_line_to_copy_is_a_whole_command(open_docs: Any) -> None:
    page = await open_docs()
    await page.get_by_role("button", name="Copy: patch /api/score").click()
    await expect(page.get_by_role("status")).to_have_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert shlex.split(copied.replace("\\\n", "")) == [
        "curl", "-X", "PATCH", f"{ORIGIN}/api/score", "-H", "Authorization: Bearer $TOKEN", "--json", '{"score":5}',
    ]  # fmt: skip


async def test_a_link_to_an_operation_leads_there(open_docs: Any) -> None:
    page = await open_docs("#putV1Players")
    await expect(page.get_by_role("heading", name="PUT /api/v1/players/{user_id}")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone(open_docs: Any, scheme: str) -> None:
    page = await open_docs(**PHONE, color_scheme=scheme)
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    ink, paper = await page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).background]"
    )
    assert ink not in paper


async def test_the_contents_open_and_close_by_keyboard_on_a_phone(open_docs: Any) -> None:
    page = await open_docs(**PHONE)
    link = page.locator("nav a", has_text="POST /api/actions")
    await expect(link).to_be_hidden()
    await page.locator("nav summary").press("Enter")
    await link.press("Enter")
    await expect(link).to_be_hidden()
    await expect(page.get_by_role("heading", name="POST /api/actions")).to_be_in_viewport()


async def test_it_says_so_when_there_is_nothing_to_draw(open_docs: Any) -> None:
    page = await open_docs(broken=True)
    await expect(page.get_by_role("alert")).to_contain_text("status 503")
