"""`make observe`: a Prometheus with the rules, that says where to look and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import sys
from urllib.error import URLError

import pytest

from dashboards import observe
from tests.support.program import Program
from tests.support.project import ROOT
from tests.support.prometheus import need
from tests.support.rules import ALERTS
from tests.support.wait import wait_until
from tornado_app.config import Config
from tornado_app.mongo.embedded.mongod import free_port


@pytest.fixture
def observing(tmp_path):
    """It scrapes itself, as any other target."""
    need("prometheus")
    port = free_port()
    flags = [f"--port={port}", f"--metrics=http://127.0.0.1:{port}/metrics"]
    log = tmp_path / "log"
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dashboards.observe", *flags]
    program = Program(command, log, lambda: "Ctrl-C" in program.log, environment)
    try:
        program.start()
        yield program
    finally:
        program.close()


def ask(url: str):
    with observe.DIRECT.open(url, timeout=10) as answer:
        return json.loads(answer.read())["data"]


def test_observe_shows_rules_and_data_and_ends_its_processes(observing, tmp_path):
    url = re.search(r"(http://127\.0\.0\.1:\d+)/alerts", observing.log)[1]
    assert "make run" not in observing.log
    groups = ask(f"{url}/api/v1/rules")["groups"]
    names = {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}
    assert "LeaderboardAvailabilityBurn" in names
    assert names <= {alert.name for alert in ALERTS}

    def up():
        return ask(f"{url}/api/v1/query?query=up%20%3D%3D%201")["result"]

    (found,) = wait_until(up, 30, "a scrape")
    assert (found["metric"]["namespace"], found["metric"]["leaderboard"]) == ("local", "demo")
    assert observing.terminate() == 0
    with pytest.raises(URLError):
        ask(f"{url}/api/v1/rules")
    assert list(tmp_path.glob("leaderboard-observe-*")) == []


def test_observe_scrapes_the_default_metrics_address():
    assert f":{Config().metrics_port}/metrics" in observe.DEFAULT


def test_observe_without_prometheus_names_what_to_install(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert observe.main([]) == 1
    assert "apt-get install" in capsys.readouterr().err
