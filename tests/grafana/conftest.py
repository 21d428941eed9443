"""A Grafana with the dashboards, what they show, and a browser to see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

import dashboards.__main__ as generator
from tests.grafana.build import home
from tests.grafana.environment import Environment, run_environment
from tests.support.browser import FLAGS
from tests.support.building import NotBuiltError
from tests.support.cluster import Cluster
from tests.support.grafana import Grafana
from tests.support.mongod import ReplicaSet
from tests.support.requirements import missing


@pytest.fixture(scope="module")
def environment(
    cluster: Cluster, replica_set: ReplicaSet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    with run_environment(cluster, replica_set, tmp_path_factory.mktemp("environment")) as running:
        yield running


@pytest.fixture(scope="module")
def grafana(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    try:
        home()
    except NotBuiltError as error:
        missing(str(error))
    with Grafana(tmp_path_factory.mktemp("grafana") / "home", generator.HERE, environment.prometheus.url) as running:
        yield running


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A browser that finds no host but this one."""
    only_here = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=chromium, args=[*FLAGS, only_here])
        yield found
        found.close()
