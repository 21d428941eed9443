"""`leaderboard.js` in a blank page, as any frontend imports it, with a log of what it reports."""

from __future__ import annotations

import asyncio
from typing import Any

from playwright.async_api import Page

from tests.support.fake_service import DEADLINE

AT_ONCE = "Math.random = () => 0"
"""Every jittered pause ends at once."""

LATEST = "Math.random = () => 0.999999"
"""Every jittered pause is as long as it can be."""

REFUSED = "ERR_CONNECTION_REFUSED|ERR_INTERNET_DISCONNECTED"
"""What Chromium itself says of a server that is away."""

CONNECT = """async (options) => {
  const { connectLeaderboard } = await import("/static/leaderboard.js");
  const log = { boards: [], states: [], scores: [], asked: [] };
  const waiting = new Set();
  const note = (list, entry) => { list.push(entry); waiting.forEach((check) => check()); };
  const sees = (condition) => new Promise((resolve) => {
    const check = () => condition() && waiting.delete(check) | resolve();
    waiting.add(check);
    check();
  });
  const tokens = options.tokens && [...options.tokens];
  const token = tokens ? (refused) => { log.asked.push(refused); return tokens.shift(); } : options.token;
  const line = (row) => row && `${row.rank} ${row.username} ${row.score}`;
  const connection = connectLeaderboard({
    token,
    onBoard: (rows, version) => note(log.boards, { version, rows: rows.map(line) }),
    onState: (state) => note(log.states, { ...state, wait: state.retryAt && state.retryAt - Date.now() }),
    onScore: (score) => note(log.scores, Object.entries(score).map(([name, value]) => `${name} ${value}`)),
  });
  Object.assign(window, { connection, log, sees });
}"""


class Client:
    """A blank page with a connection in it, and what that reported."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def sees(self, condition: str) -> None:
        """Wait until an expression over `log` holds."""
        async with asyncio.timeout(DEADLINE):
            await self.page.evaluate(f"sees(() => {condition})")

    async def shows(self, *rows: str | None) -> None:
        wanted = str(list(rows)).replace("None", "null")
        await self.sees(f"JSON.stringify(log.boards.at(-1)?.rows) === JSON.stringify({wanted})")

    async def state(self, name: str) -> dict[str, Any]:
        await self.sees(f"log.states.at(-1).name === '{name}'")
        state: dict[str, Any] = await self.page.evaluate("log.states.at(-1)")
        return state

    async def states(self) -> list[str]:
        names: list[str] = await self.page.evaluate("log.states.map(({ name }) => name)")
        return names
