"""The dashboards in a real Grafana, on a real Prometheus, of a real service and operator."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.grafana.environment import LEADERBOARD, Environment, wait_for_alert, wait_for_samples
from tests.grafana.view import PATIENCE, View
from tests.support.grafana import Grafana
from tests.support.wait import wait_until

pytestmark = [pytest.mark.grafana, pytest.mark.timeout(1200)]

NAMES = ("Fleet", "Service", "Operator")
PICTURES = os.environ.get("GRAFANA_PICTURES")
"""The folder that pictures are kept in."""
SECONDS = 240
"""Seconds of load before the first test: alerts of three minutes fire."""
ALERT = "LeaderboardUnavailable"

expect.set_options(timeout=1000 * PATIENCE)


EMPTY = {
    "Fleet": {("Autoscalers", letter) for letter in "ABCD"},
    "Service": {("Failed requests", "A"), ("Evictions", "A"), ("Sockets refused", "A")},
    "Operator": set[tuple[str, str]](),
}
"""What has nothing to show: nothing failed, no client was turned away, and no Leaderboard has an autoscaler."""


@pytest.fixture(scope="module")
def loaded(grafana: Grafana, environment: Environment) -> dict[str, Any]:
    """The dashboards by their titles, once there is something to show."""
    wait_for_samples(environment.prometheus, SECONDS)
    wait_for_alert(environment.prometheus, ALERT)
    return {title.removeprefix("Leaderboard / "): found for title, found in grafana.dashboards().items()}


def asking(found: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The panels that ask something when the dashboard opens, by id: those of a collapsed row do not."""
    return {panel["id"]: panel for panel in found["dashboard"]["panels"] if panel.get("targets")}


def view(browser: Browser, found: dict[str, Any], refresh: str = "", **variables: str) -> View:
    """A dashboard with some variables set."""
    chosen = {f"var-{name}": value for name, value in variables.items()}
    shown = {"from": f"now-{SECONDS + 20}s", "to": "now", "refresh": refresh, **chosen}
    return View(browser, f"{found['url']}?{urlencode(shown)}")


@pytest.mark.parametrize("name", NAMES)
def test_dashboard_panels_have_data_and_are_drawn(
    name: str, loaded: dict[str, Any], browser: Browser, tmp_path: Path
) -> None:
    panels = asking(loaded[name])
    with view(browser, loaded[name]) as seen:
        seen.wait_for(set(panels))
        seen.photograph(Path(PICTURES or tmp_path) / f"{name.lower()}.png")
        assert seen.panels_in_error() == []
        assert seen.faults == []
        assert seen.strangers == []
    empty = set()
    for number, panel in panels.items():
        answers = seen.answers[number]
        assert set(answers) == {target["refId"] for target in panel["targets"]}
        for letter, answer in answers.items():
            assert "error" not in answer, f"{panel['title']}: {answer}"
            if not any(any(frame["data"]["values"]) for frame in answer["frames"]):
                empty.add((panel["title"], letter))
    assert empty == EMPTY[name]


def test_dashboard_keeps_the_selected_leaderboard(loaded: dict[str, Any], browser: Browser) -> None:
    with view(browser, loaded["Fleet"]) as seen:
        seen.panel("Every Leaderboard").locator("a", has_text=LEADERBOARD).click()
        expect(seen.page).to_have_url(re.compile(f"/leaderboard-service.*var-leaderboard={LEADERBOARD}"))
        fleet = seen.page.get_by_role("link", name="Leaderboard / Fleet")
        expect(fleet).to_have_attribute("href", re.compile(f"var-leaderboard={LEADERBOARD}"))


def test_alert_links_to_its_runbook(loaded: dict[str, Any], browser: Browser) -> None:
    with view(browser, loaded["Fleet"], runbooks="http://127.0.0.1/runbooks") as seen:
        alert = seen.panel("Alerts").locator("a", has_text=ALERT)
        expect(alert).to_have_attribute("href", f"http://127.0.0.1/runbooks/{ALERT}.md")


def test_first_panel_shows_that_players_are_affected_and_why(
    environment: Environment, loaded: dict[str, Any], browser: Browser, tmp_path: Path
) -> None:
    with view(browser, loaded["Service"], refresh="5s", leaderboard=LEADERBOARD) as seen:
        verdict = seen.panel("Players")
        expect(verdict).to_contain_text("fine")
        primary = environment.database.wait_primary()
        primary.freeze()
        try:
            expect(verdict).to_contain_text("hurt: nothing is ready")
            failed = 'sum(leaderboard_http_requests_total{code="500"}) > 80'
            wait_until(lambda: environment.prometheus.query(failed), PATIENCE, "requests fail")
        finally:
            primary.thaw()
        expect(verdict).to_contain_text("hurt: requests fail")
        seen.photograph(Path(PICTURES or tmp_path) / "service-hurt.png")
