"""A real Prometheus scrapes a service under faults: every expression of rules, panels and runbooks returns data.

Expressions that must be empty are listed with the reason, and a fault makes them return data.
"""

from __future__ import annotations

import pytest

from leaderboard_operator.monitoring.fleet_alerts import LEADER
from tests.monitoring.environment import MonitoredEnvironment
from tests.support.dashboards import expressions
from tests.support.leaderboards import TIMEOUT
from tests.support.operator import install_crd
from tests.support.rules import ALERTS, RECORDINGS
from tests.support.runbooks import queries
from tests.support.wait import wait_until

EMPTY = {f"absent({LEADER})": "an operator runs; test_alert_for_a_missing_operator_fires ends it"}

DEPLOYS = "a version comes in one minute, and not in each: looked for in the time since all began"


@pytest.fixture(scope="module")
def environment(cluster, mongod_binary, tmp_path_factory):
    """The environment after all faults that it recovers from."""
    install_crd(cluster)
    with MonitoredEnvironment(cluster, tmp_path_factory.mktemp("environment")) as found:
        found.suspect()
        found.stall()
        found.lose_database()
        found.tamper()
        yield found


def test_recording_rules_return_data(environment):
    assert environment.without_data({each.expression for each in RECORDINGS}) == set()
    assert environment.without_data({each.name for each in RECORDINGS}) == set()


def test_alert_comparisons_have_data_on_both_sides(environment):
    sides = {side for alert in ALERTS for each in alert.when for side in sides_of(each)}
    assert len(sides) > 30
    assert environment.without_data(sides - set(EMPTY)) == set()
    assert environment.without_data(EMPTY, within=0) == set(EMPTY)


def sides_of(comparison) -> set[str]:
    """The left side, and the right one where it is more than a number."""
    right = comparison.bound.rpartition(" ")[2]
    return {comparison.left, right} if right.startswith("leaderboard") else {comparison.left}


def test_runbook_expressions_return_data(environment):
    expected = {each.replace('"games"', f'"{environment.namespace}"') for each in queries()}
    keys = {each for each in expected if "jwks" in each}
    expected = (expected - keys) | {each.replace('"arcade"', '"chess"') for each in keys}
    assert environment.without_data(expected) == set()


def test_dashboard_expressions_return_data(environment):
    environment.touch()
    expected = {each.text: (each.dashboard, each.place) for each in expressions()}
    marks = {text for text, (_, place) in expected.items() if place == "Deploys"}
    missing = environment.without_data(expected.keys() - marks)
    assert {expected[text]: text for text in missing} == {}
    assert environment.without_data({f"last_over_time(({text})[10m:1s])" for text in marks}) == set(), DEPLOYS


def firing(environment, name: str) -> list[dict[str, str]]:
    return [
        each["metric"] for each in environment.prometheus.query(f'ALERTS{{alertname="{name}",alertstate="firing"}}')
    ]


@pytest.mark.parametrize("name", ["LeaderboardExternalChanges", "LeaderboardSuspiciousPlayers"])
def test_alerts_of_the_caused_faults_fire(environment, name):
    (alert,) = wait_until(lambda: firing(environment, name), TIMEOUT, name)
    assert (alert["namespace"], alert["leaderboard"]) == (environment.namespace, "arcade")


def test_alerts_of_other_faults_are_silent(environment):
    assert environment.prometheus.query("up") != []
    for name in ("LeaderboardRanksDiffer", "LeaderboardOperatorBlind", "LeaderboardScoreSpike"):
        assert firing(environment, name) == []


def test_alert_for_missing_scrapes_fires_for_that_leaderboard_only(environment):
    (alert,) = (alert for alert in ALERTS if alert.name == "LeaderboardNotScraped")
    found = environment.prometheus.query(str(alert.when[0]))
    assert [each["metric"]["leaderboard"] for each in found] == ["ghost"]


def test_alert_for_a_missing_operator_fires(environment):
    """The last one: it ends the operator."""
    environment.operator.terminate()
    assert environment.without_data(EMPTY) == set()
