"""The page of the API's description, in a real browser; the network is the routes themselves."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Route, expect
from tornado.httputil import HTTPHeaders

from tests.clients.js.toolchain import node
from tests.support.service import RunningService, token
from tornado_app.api import pages
from tornado_app.api.openapi import document
from tornado_app.http.messages import NotFound, Request, Router

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

DOCUMENT = document.document()
ORIGIN = "https://leaderboard.test"
PHONE = {"viewport": {"width": 360, "height": 800}}
REMOVE_OTHERS = """(kept) => {
  for (const article of document.querySelectorAll("article")) {
    if (!kept.includes(article.getAttribute("aria-labelledby"))) article.remove();
  }
  for (const details of document.querySelectorAll("details")) details.open = true;
}"""
NAME = 'Zoë "O\'Hara" \\ $HOME'
"""It has each character that one of the languages has to quote."""
SCREEN = {"viewport": {"width": 1440, "height": 900}}


@cache
def router() -> Router:
    """The routes of the page."""
    return Router([*pages.openapi_routes(), *pages.static_routes()])


async def answer(route: Route) -> None:
    """What the service would answer."""
    path = route.request.url.removeprefix(ORIGIN).partition("?")[0]
    request = Request("GET", path, HTTPHeaders())
    try:
        found, _ = router().find(path)
    except NotFound:
        await route.fulfill(status=404)
        return
    response: Any = found.methods["GET"](request)
    await route.fulfill(status=response.status, headers=dict(response.headers), body=response.body)


@pytest.fixture
def complaints() -> list[str]:
    """What the browser wrote to the console; a test that provokes it takes it away."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def open_docs(browser: Browser, complaints: list[str]) -> AsyncIterator[Any]:
    """Open /docs. Whatever the browser wrote to the console fails the test."""
    contexts = []

    async def open_docs(fragment: str = "", *, broken: bool = False, origin: str = ORIGIN, **options: Any) -> Page:
        context = await browser.new_context(**options)
        contexts.append(context)
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        if origin == ORIGIN:
            await context.route("**/*", answer)
        page = await context.new_page()
        if broken:
            await page.route("**/openapi.json", lambda route: route.fulfill(status=503))
        else:
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{origin}/docs{fragment}")
        await expect(page.locator("main [role=alert]" if broken else "#errors")).to_be_attached(timeout=30_000)
        return page

    yield open_docs
    for context in contexts:
        await context.close()
    assert complaints == []


async def test_page_shows_every_operation_socket_and_error(open_docs: Any) -> None:
    page = await open_docs()
    sockets = [f"WS {socket['path']}" for socket in DOCUMENT["x-websockets"]]
    paths = {path: item for path, item in DOCUMENT["paths"].items() if not path.startswith("/ws/")}
    operations = [f"{method.upper()} {path}" for path, item in paths.items() for method in item]
    found = await page.locator("article h3").all_inner_texts()
    assert sorted(found) == sorted(operations + sockets)
    codes = page.get_by_role("table", name="All codes").locator("tbody th")
    await expect(codes).to_have_text([error["error"] for error in DOCUMENT["x-errors"]])
    await expect(page.locator("nav a")).to_have_count(len(found) + await page.locator("h2").count())


async def test_copy_button_copies_the_whole_command(open_docs: Any) -> None:
    page = await open_docs()
    await page.get_by_role("button", name="Copy: patch /api/score").click()
    await expect(page.locator("#announcer")).to_have_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert shlex.split(copied.replace("\\\n", "")) == [
        "curl", "-X", "PATCH", f"{ORIGIN}/api/score", "-H", "Authorization: Bearer $TOKEN", "--json", '{"score":5}',
    ]  # fmt: skip


async def test_page_fits_a_phone_screen(open_docs: Any) -> None:
    page = await open_docs(**PHONE)
    backgrounds = set()
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        ink, paper = await page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).background]"
        )
        assert ink not in paper
        backgrounds.add(paper)
    assert len(backgrounds) == 2


async def test_contents_on_a_phone_open_and_close_by_keyboard(open_docs: Any) -> None:
    page = await open_docs(**PHONE)
    link = page.locator("nav a", has_text="POST /api/actions")
    await expect(link).to_be_hidden()
    await page.locator("nav summary").press("Enter")
    await link.press("Enter")
    await expect(link).to_be_hidden()
    await expect(page.get_by_role("heading", name="POST /api/actions")).to_be_in_viewport()


async def test_missing_document_shows_an_alert(open_docs: Any) -> None:
    page = await open_docs(broken=True)
    await expect(page.get_by_role("alert")).to_contain_text("status 503")


# -- filter -------------------------------------------------------------------------------------------------


MATCHES = {
    "admin hide": ["POST /api/v1/admin/players/{user_id}/hide"],
    "the whole BOARD": ["GET /api/v1/leaderboard"],
    "action_not_found": ["POST /api/v1/admin/players/{user_id}/take-back"],
    "1013 /ws/score": ["WS /ws/score", "WS /ws/scoreboard"],
    "no such operation": [],
}


async def test_filter_matches_path_summary_and_code(open_docs: Any) -> None:
    page = await open_docs()
    for words, found in MATCHES.items():
        await page.get_by_role("searchbox", name="Filter").fill(words)
        await expect(page.locator("article h3:visible")).to_have_text(found)
        await expect(page.locator("nav li:visible")).to_have_text(found)


async def test_filter_by_keyboard_announces_the_matches(open_docs: Any) -> None:
    page = await open_docs()
    everything = await page.locator("article").count()
    for _ in range(5):  # skip link, three links, and the filter
        await page.keyboard.press("Tab")
    await page.keyboard.type("action_conflict")
    matches = page.get_by_role("search").get_by_role("status")
    await expect(matches).to_have_text("7 operations, 0 WebSockets, 1 error code")
    await expect(page.locator("article:visible")).to_have_count(7)
    await page.keyboard.press("Escape")
    await expect(matches).to_have_text("")
    await expect(page.locator("article:visible")).to_have_count(everything)


async def test_fragment_shows_the_operation_and_clears_the_filter(open_docs: Any) -> None:
    page = await open_docs("#putV1Players")
    await expect(page.get_by_role("heading", name="PUT /api/v1/players/{user_id}")).to_be_in_viewport()
    await page.get_by_role("searchbox", name="Filter").fill("healthz")
    heading = page.get_by_role("heading", name="POST /api/actions")
    await expect(heading).to_be_hidden()
    await page.evaluate("location.hash = 'postActions'")
    await expect(heading).to_be_in_viewport()


# -- requests -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(module_database: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    uri, name = module_database
    running = RunningService(uri=uri, database=name).start(tmp_path_factory.mktemp("service") / "log")
    yield running
    running.close()


async def open_form(page: Page, operation: str) -> Any:
    article = page.locator(f"article[aria-labelledby={operation}]")
    await article.locator("details.try > summary").click()
    return article


async def test_send_form_authorizes_and_shows_the_response(open_docs: Any, service: RunningService) -> None:
    page = await open_docs(origin=service.url)
    await page.get_by_label("Bearer token").fill(f"Bearer {token('bob')}")
    await expect(page.locator("#token-is")).to_contain_text("Subject bob, valid until")
    article = await open_form(page, "postScore")
    await article.get_by_label("Body").fill('{"score": 7}')
    await article.get_by_label("Idempotency-Key").fill("level-7")
    await article.get_by_role("button", name="Authorize and send").click()
    await expect(article.locator(".status")).to_contain_text("201 Created")
    await expect(page.locator("#announcer")).to_have_text("POST /api/score: 201 Created")
    await expect(article.locator(".answer pre").nth(0)).to_contain_text("ratelimit-policy: ")
    body = await article.locator(".answer pre").nth(1).inner_text()
    assert json.loads(body)["score"] == 7
    assert '\n  "score": 7,\n' in body

    article = await open_form(page, "getV1PlayersAround")
    await article.get_by_label("user_id", exact=True).fill("bob")
    await article.get_by_label("limit").fill("3")
    await article.get_by_role("button", name="Send").click()
    await expect(article.locator(".status")).to_contain_text("200 OK")
    await expect(article.locator("code").filter(has_text="curl")).to_contain_text("/api/v1/players/bob/around?limit=3'")


async def test_send_form_shows_errors(open_docs: Any, service: RunningService, complaints: list[str]) -> None:
    page = await open_docs(origin=service.url)
    article = await open_form(page, "postV1AdminPlayersHide")
    await article.get_by_role("button", name="Authorize and send").press("Enter")
    await expect(article.locator(".status")).to_contain_text("401 Unauthorized")
    await expect(article.locator(".answer pre").nth(1)).to_contain_text("missing_token")
    await page.context.set_offline(True)
    await article.get_by_role("button", name="Authorize and send").click()
    await expect(article.locator(".status")).to_contain_text("The request failed: ")
    assert [text for text in complaints if "401" not in text and "ERR_INTERNET_DISCONNECTED" not in text] == []
    complaints.clear()


async def test_token_is_only_in_its_field_and_in_the_header(open_docs: Any) -> None:
    page = await open_docs()
    secret = token("alice")
    seen: list[tuple[str, dict[str, str]]] = []

    async def catch(route: Route) -> None:
        seen.append((route.request.url, await route.request.all_headers()))
        await route.fulfill(status=200, body='{"score":9007199254740993}', content_type="application/json")

    await page.route("**/api/**", catch)
    await page.get_by_label("Bearer token").fill(secret)
    article = await open_form(page, "patchScore")
    await article.get_by_role("button", name="Authorize and send").click()
    await expect(article.locator(".answer pre").nth(1)).to_have_text('{\n  "score": 9007199254740993\n}')
    ((url, headers),) = seen
    assert headers["authorization"] == f"Bearer {secret}"
    stored = await page.evaluate(
        "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])"
    )
    assert secret not in url + stored + await page.content()
    await page.reload()
    await expect(page.get_by_label("Bearer token")).to_have_value("")


async def test_socket_form_connects_authenticates_and_closes(open_docs: Any, service: RunningService) -> None:
    page = await open_docs(origin=service.url)
    await page.get_by_label("Bearer token").fill(token("carol"))
    article = await open_form(page, "ws-leaderboard")
    await article.get_by_role("button", name="Connect: /ws/leaderboard").click()
    await expect(article.locator(".messages li")).to_have_count(1)
    await article.get_by_role("button", name="Authenticate: /ws/leaderboard").click()
    answer = await asyncio.to_thread(service.post, "/api/score", {"score": 5}, token=token("carol"))
    assert answer.status == 201
    await expect(article.locator(".messages")).to_contain_text("user.scoreUpdate")
    await article.get_by_role("button", name="Close: /ws/leaderboard").click()
    await expect(article.locator(".status")).to_contain_text("Closed: 1005")
    await expect(article.get_by_role("button", name="Connect: /ws/leaderboard")).to_be_enabled()


async def run(program: str, *arguments: str, secret: str) -> str:
    process = await asyncio.create_subprocess_exec(
        program, *arguments, env={**os.environ, "TOKEN": secret}, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


@pytest.mark.parametrize(
    ("language", "command"),
    [
        ("curl", ["bash", "-c"]),
        pytest.param("JavaScript", [node(), "--input-type=module", "-e"], marks=pytest.mark.long),
        ("Python", [sys.executable, "-c"]),
    ],
)
async def test_code_samples_run(open_docs: Any, service: RunningService, language: str, command: list[str]) -> None:
    page = await open_docs(origin=service.url)
    await page.get_by_role("radio", name=language).check()
    article = page.locator("article[aria-labelledby=putV1Players]")
    await article.locator("details.try > summary").click()
    await article.get_by_label("Body").fill(json.dumps({"username": NAME}))
    await expect(article.locator(".copyable code")).to_contain_text("Zo")
    code = await article.locator(".copyable code").inner_text()
    assert json.dumps(NAME, ensure_ascii=False) in await run(*command, code, secret=token("alice"))
    code = await page.locator("article[aria-labelledby=getV1Players] .copyable code").inner_text()
    assert json.dumps(NAME, ensure_ascii=False) in await run(*command, code, secret="")


DRAWN = ["postScore", "getV1PlayersHistory", "putV1Players", "ws-leaderboard"]
"""A write, a read, a body that may be left out, and a socket: the same functions draw all others."""


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param(PHONE, "dark", id="phone-dark", marks=pytest.mark.long),
        pytest.param(SCREEN, "light", id="screen-light"),
        pytest.param(PHONE, "light", id="phone-light", marks=pytest.mark.long),
        pytest.param(SCREEN, "dark", id="screen-dark", marks=pytest.mark.long),
    ],
)
async def test_axe_reports_no_violation(open_docs: Any, service: RunningService, scheme: str, size: Any) -> None:
    page = await open_docs(origin=service.url, color_scheme=scheme, **size)
    assert await page.evaluate("document.documentElement.scrollWidth") == size["viewport"]["width"]
    await page.evaluate(REMOVE_OTHERS, DRAWN)
    await page.get_by_label("Bearer token").fill(token("dora"))
    write = page.locator("article[aria-labelledby=postScore]")
    await write.get_by_role("button", name="Authorize and send").click()
    await expect(write.locator(".status")).to_contain_text("20")
    await page.get_by_role("button", name="Connect: /ws/leaderboard").click()
    await expect(page.locator(".messages li")).to_have_count(1)
    assert await page.evaluate("document.documentElement.scrollWidth") == size["viewport"]["width"]
    found = (await Axe().run(page)).response
    assert found["violations"] == []
    assert found["incomplete"] == []
