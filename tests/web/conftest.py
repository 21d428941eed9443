"""The client module in a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.browser import OpenPage
from tests.web.client import AT_ONCE, CONNECT, Client

Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
def connect(open_page: OpenPage) -> Connect:
    """Connect in a blank page: `await connect(token=…, tokens=[…], random=LATEST, clock=True)`."""

    async def connect(*, random: str = AT_ONCE, clock: bool = False, **options: Any) -> Client:
        page = await open_page("blank", init=random, clock=clock)
        await page.evaluate(CONNECT, options)
        return Client(page)

    return connect
