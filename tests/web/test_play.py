"""The demo's panel: scoring oneself, and what is said when that doesn't go."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import expect

from tests.support.browser import Faults, OpenPage
from tests.support.fake_service import FakeService, Player, Reply, Session, places
from tests.web.client import AT_ONCE

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNTED = Reply(200, {"success": True, "newScore": 1_150, "leaderboardPosition": 3, "message": "Score updated."})
LIMITED = Reply(429, {"error": "rate_limited", "message": "Too many."}, {"Retry-After": "7"})


@pytest.fixture
def demo(fake_service: FakeService) -> FakeService:
    fake_service.session = Session()
    fake_service.rows = places([Player("Ada", 2_000), Player("Robin", 1_100, id="me")])
    return fake_service


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name)


async def test_play_panel_is_absent_in_production(open_page: OpenPage, fake_service: FakeService) -> None:
    page = await open_page()
    await expect(page.locator("#status")).to_have_text("Live")
    await expect(page.locator("#play")).to_be_hidden()
    assert (fake_service.sessions, fake_service.heard) == (0, [])


async def test_play_panel_has_the_player_and_the_actions(open_page: OpenPage, demo: FakeService) -> None:
    page = await open_page()
    await expect(page.get_by_role("heading", name="Play as Robin")).to_be_visible()
    await expect(page.locator("#play button")).to_have_text(["Level complete +50", "Enemy defeated +5"])
    await expect(page.locator("#play .mine")).to_have_text("1,100 points · rank 2 · 900 to the next")
    await expect(page.locator("tr.own .name")).to_have_text("Robin")
    await expect(page.locator("tr.own")).to_contain_text("You")
    assert demo.heard == [{"type": "authenticate", "token": "t-1"}]


async def test_play_action_is_posted_once_and_confirmed(open_page: OpenPage, demo: FakeService) -> None:
    demo.replies = [COUNTED, COUNTED]
    page = await open_page()
    demo.rows = places([Player("Ada", 2_000), Player("Zoë", 1_500), Player("Robin", 1_150, id="me")])
    await button(page, "Level complete").click()
    await expect(page.locator("#play output")).to_have_text("1,150 points now: rank 3.")
    await expect(page.locator("#play .mine")).to_have_text("1,150 points · rank 3 · 350 to the next")
    await button(page, "Enemy defeated").click()
    await demo.until(lambda: len(demo.posts) == 2)
    assert [auth for auth, _ in demo.posts] == ["Bearer t-1", "Bearer t-1"]
    assert [body["actionType"] for _, body in demo.posts] == ["level_complete", "enemy_defeated"]
    assert len({body["actionId"] for _, body in demo.posts}) == 2


async def test_personal_update_is_received_by_the_socket(open_page: OpenPage, demo: FakeService) -> None:
    page = await open_page()
    await expect(page.locator("#play .mine")).to_have_text("1,100 points · rank 2 · 900 to the next")
    demo.rows = []
    score = {"newScore": 12_345, "leaderboardPosition": 1_001, "change": 5}
    demo.send({"type": "user.scoreUpdate", "data": score, "version": 9})
    await expect(page.locator("#play .mine")).to_have_text("12,345 points · rank 1,001")


async def test_points_to_the_next_rank_follow_the_board(open_page: OpenPage, demo: FakeService) -> None:
    page = await open_page()
    demo.show([Player("Ada", 2_000), Player("Bea", 1_200), Player("Robin", 1_100, id="me")])
    await expect(page.locator("#play .mine")).to_have_text("1,100 points · rank 3 · 100 to the next")
    demo.show([Player("Robin", 1_100, id="me"), Player("Ada", 1_000)])
    await expect(page.locator("#play .mine")).to_have_text("1,100 points · rank 1")


async def test_rate_limited_action_waits_for_retry_after_and_keeps_the_focus(
    open_page: OpenPage, demo: FakeService, faults: Faults
) -> None:
    faults.expect("429")
    demo.replies = [LIMITED, COUNTED]
    page = await open_page(clock=True)
    await button(page, "Level complete").click()
    await expect(page.locator("#play output")).to_contain_text("7 s")
    await expect(page.locator("#play button[aria-disabled=true]")).to_have_count(2)
    await expect(button(page, "Level complete")).to_be_focused()
    await button(page, "Enemy defeated").click(force=True)
    await page.clock.run_for(4_000)
    await expect(page.locator("#play .countdown")).to_have_text("That was fast. The next one counts in 3 s.")
    assert len(demo.posts) == 1
    await page.clock.run_for(4_000)
    await expect(page.locator("#play button[aria-disabled]")).to_have_count(0)
    await button(page, "Enemy defeated").click()
    await expect(page.locator("#play output")).to_contain_text("1,150")


async def test_unanswered_action_is_resent_with_the_same_id(
    open_page: OpenPage, demo: FakeService, faults: Faults
) -> None:
    faults.expect("500")
    demo.replies = [Reply(500, {"error": "database_error", "message": "Please try again."}), COUNTED]
    page = await open_page(init=AT_ONCE)
    await button(page, "Level complete").click()
    await expect(page.locator("#play output")).to_have_text("1,150 points now: rank 3.")
    assert len({body["actionId"] for _, body in demo.posts}) == 1


async def test_refusal_is_shown_with_the_servers_message(
    open_page: OpenPage, demo: FakeService, faults: Faults
) -> None:
    faults.expect("403")
    demo.replies = [Reply(403, {"error": "player_suspended", "message": "This player is suspended."})]
    page = await open_page()
    await button(page, "Level complete").click()
    await expect(page.locator("#play output")).to_have_text("This player is suspended.")


async def test_expired_token_is_renewed_and_the_player_can_be_changed(
    open_page: OpenPage, demo: FakeService, faults: Faults
) -> None:
    faults.expect("401")
    demo.replies = [Reply(401, {"error": "expired_token", "message": "The token has expired."}), COUNTED]
    page = await open_page()
    await expect(page.locator("tr.own .name")).to_have_text("Robin")
    demo.session = Session(token="t-2", user_id="Ada", username="Ada")
    await button(page, "Level complete").click()
    await expect(page.locator("#play output")).to_have_text("1,150 points now: rank 3.")
    assert [auth for auth, _ in demo.posts] == ["Bearer t-1", "Bearer t-2"]
    await expect(page.get_by_role("heading", name="Play as Ada")).to_be_visible()
    await expect(page.locator("tr.own .name")).to_have_text("Ada")


async def test_reload_keeps_the_player_unless_its_token_is_refused(open_page: OpenPage, demo: FakeService) -> None:
    page = await open_page(init=AT_ONCE)
    await expect(page.locator("tr.own")).to_have_count(1)
    await page.reload()
    await demo.until(lambda: len(demo.heard) == 2)
    assert demo.sessions == 1
    demo.bad_tokens, demo.session = {"t-1"}, Session(token="t-2")
    await page.reload()
    await demo.until(lambda: [heard["token"] for heard in demo.heard[2:]] == ["t-1", "t-2"])
    await expect(page.locator("#status")).to_have_text("Live")


async def test_buttons_are_reachable_by_keyboard(open_page: OpenPage, demo: FakeService) -> None:
    demo.replies = [COUNTED, COUNTED]
    page = await open_page()
    await expect(page.locator("#play")).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(button(page, "Level complete")).to_be_focused()
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(button(page, "Enemy defeated")).to_be_focused()
    await page.keyboard.press("Space")
    await demo.until(lambda: len(demo.posts) == 2)


async def test_play_panel_works_without_a_secure_context(open_page: OpenPage, demo: FakeService) -> None:
    demo.replies = [COUNTED]
    page = await open_page(init="delete Crypto.prototype.randomUUID")
    await button(page, "Level complete").click()
    await expect(page.locator("#play output")).to_contain_text("1,150")
    [(_, body)] = demo.posts
    assert UUID(body["actionId"]).version == 4
