"""The dashboards in a real Grafana, on a real Prometheus, of a real service and operator."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.grafana.stage import Stage, wait_for_alert, wait_for_samples
from tests.grafana.view import PATIENCE, View
from tests.support.grafana import Grafana

pytestmark = [pytest.mark.grafana, pytest.mark.timeout(1200)]

NAMES = ("Fleet", "Service", "Operator")
PICTURES = os.environ.get("GRAFANA_PICTURES")
"""The folder that pictures are kept in."""
SECONDS = 240
"""Of load before anybody looks: what fires after three minutes does."""
ALERT = "LeaderboardUnavailable"

expect.set_options(timeout=1000 * PATIENCE)


EMPTY = {
    "Fleet": set[tuple[str, str]](),
    "Service": {
        ("Failed requests", "A"),
        ("Evictions", "A"),
        ("Sockets refused", "A"),
        ("Change stream restarts", "A"),
    },
    "Operator": set[tuple[str, str]](),
}
"""What has nothing to show while all is well: nothing failed, nobody was turned away, and nothing broke."""


@pytest.fixture(scope="module")
def loaded(grafana: Grafana, staged: Stage) -> dict[str, Any]:
    """The dashboards by their titles, once there is something to show."""
    wait_for_samples(staged.prometheus, SECONDS)
    wait_for_alert(staged.prometheus, ALERT)
    return {title.removeprefix("Leaderboard / "): found for title, found in grafana.dashboards().items()}


def asking(found: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The panels that ask something, by id."""
    return {panel["id"]: panel for panel in found["dashboard"]["panels"] if panel.get("targets")}


def view(browser: Browser, found: dict[str, Any], refresh: str = "", **variables: str) -> View:
    """A dashboard with some variables set."""
    chosen = {f"var-{name}": value for name, value in variables.items()}
    shown = {"from": f"now-{SECONDS + 20}s", "to": "now", "refresh": refresh, **chosen}
    return View(browser, f"{found['url']}?{urlencode(shown)}")


@pytest.mark.parametrize("name", NAMES)
def test_each_panel_answers_and_is_drawn(name: str, loaded: dict[str, Any], browser: Browser, tmp_path: Path) -> None:
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


def test_the_first_panel_says_that_players_are_hurt(staged: Stage, loaded: dict[str, Any], browser: Browser) -> None:
    patient = {"latency": "2.5", "propagation": "2.5"}  # a machine that tests keep busy is not what is looked at here
    with view(browser, loaded["Service"], refresh="5s", **patient) as seen:
        verdict = seen.panel("Players")
        expect(verdict).to_contain_text("fine")
        primary = staged.database.wait_primary()
        primary.freeze()
        try:
            expect(verdict).to_contain_text("hurt: nothing is ready")
        finally:
            primary.thaw()
