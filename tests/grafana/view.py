"""A dashboard in a browser: what its panels asked, what they were answered, and what went wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Request, Response

from tests.support.wait import PAUSE

PATIENCE = 90.0
"""Seconds within which a busy machine gets there."""
SCREEN = (1440, 5200)
"""High enough for all rows: Grafana asks for what is in sight only."""

Object = dict[str, Any]


class View:
    """A page with a dashboard on it, seen whole; a context manager."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._url = url
        self.answers: dict[int, Object] = {}
        self.faults: list[str] = []
        self.strangers: list[str] = []
        width, height = SCREEN
        self.page = browser.new_page(viewport={"width": width, "height": height}, locale="en-GB", timezone_id="UTC")
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def __enter__(self) -> View:
        self.page.goto(self._url)
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()

    def wait_for(self, panels: set[int]) -> None:
        """Wait until each of these panels has an answer, and all is drawn."""
        left = PATIENCE
        while not panels <= self.answers.keys() or self._busy():
            assert left > 0, f"no answer for panels {panels - self.answers.keys()}; {self.faults}"
            self.page.wait_for_timeout(1000 * PAUSE)
            left -= PAUSE

    def photograph(self, path: Path) -> None:
        """Keep a picture of all panels."""
        bottom = max(box["y"] + box["height"] for each in self._panels().all() if (box := each.bounding_box()))
        clip = {"x": 0, "y": 0, "width": SCREEN[0], "height": bottom + 16}
        self.page.screenshot(path=path, clip=clip, animations="disabled")

    def panels_in_error(self) -> list[str]:
        """The messages in the corners of panels."""
        found = self.page.locator('[data-testid*="Panel status"], [data-testid*="Panel data error"]')
        return [str(each.get_attribute("aria-label") or each.inner_text()) for each in found.all()]

    def panel(self, title: str) -> Locator:
        """A panel."""
        return self.page.locator(f'[data-testid="data-testid Panel header {title}"]')

    def _panels(self) -> Locator:
        return self.page.locator('[data-testid^="data-testid Panel header"]')

    def _busy(self) -> bool:
        return self.page.locator('[aria-label="Panel loading bar"]').count() > 0

    def _asked(self, request: Request) -> None:
        host = re.match(r"(?:https?|wss?)://([^/:]+)", request.url)
        if host and host[1] != "127.0.0.1":
            self.strangers.append(request.url)

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status} {response.url}: {response.text()[:500]}")
        elif "/api/ds/query" in response.url:
            panel = response.request.headers.get("x-panel-id")
            if panel is not None:
                self.answers[int(panel)] = json.loads(response.text())["results"]

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(message.text)
