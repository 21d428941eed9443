"""compose.yaml: what compose accepts, with settings that the service accepts; run where there is an engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import urllib.request
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from tests.support.chart import CHART
from tests.support.project import ROOT
from tests.support.wait import wait_until
from tornado_app import __version__
from tornado_app.cli.main import main

FILE = ROOT / "compose.yaml"
CONTENT = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES = CONTENT["services"]


def check(content: dict[str, Any]) -> None:
    PyCompose.from_yaml(yaml.safe_dump(content)).validate()


def test_compose_file_is_valid():
    check(CONTENT)


@pytest.mark.parametrize(
    ("service", "member", "value"),
    [
        ("mongodb", "imag", "mongo"),
        ("mongodb", "ports", "27017"),
        ("leaderboard", "depends_on", {"mongodb": {"condition": "well"}}),
        ("leaderboard", "stop_grace_period", "soon"),
    ],
)
def test_compose_check_finds_an_error(service, member, value):
    with pytest.raises(ValueError, match=f"services.{service}"):
        check({**CONTENT, "services": {**SERVICES, service: {**SERVICES[service], member: value}}})


def test_compose_volumes_and_services_exist():
    for service in SERVICES.values():
        assert {each.partition(":")[0] for each in service.get("volumes", [])} <= set(CONTENT["volumes"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_compose_images_equal_those_of_the_chart():
    assert {SERVICES[name]["image"] for name in ("leaderboard", "keys")} == {f"leaderboard-app:{__version__}"}
    mongo = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["devMongodb"]["image"]
    assert SERVICES["mongodb"]["image"] == f"{mongo['registry']}/{mongo['repository']}:{mongo['tag']}"


def test_compose_ports_are_published_on_loopback_only():
    for service in SERVICES.values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


def test_compose_key_is_generated_once_and_settings_are_valid(tmp_path, monkeypatch, capsys):
    (_, _, script) = SERVICES["keys"]["entrypoint"]
    script = script.replace("/run/keys", str(tmp_path)).replace("65532", str(os.getuid()))
    key = tmp_path / "jwt"
    for _ in range(2):
        subprocess.run(["python3", "-c", script], check=True)
        text = key.read_text()
    assert key.read_text() == text
    assert stat.S_IMODE(key.stat().st_mode) == 0o400
    for name, value in SERVICES["leaderboard"]["environment"].items():
        monkeypatch.setenv(name, value.replace("/run/keys", str(tmp_path)))
    _command, *flags = SERVICES["leaderboard"]["command"]
    assert main(["check-config", *flags]) == 0
    assert re.search(r"jwt_key_file\s+.*jwt", capsys.readouterr().out)


@pytest.mark.compose
def test_compose_services_start_and_a_token_scores():
    docker = shutil.which("docker")
    assert docker, "`docker compose up` needs Docker with its compose plugin and a running engine"
    compose = [docker, "compose", "--project-name", "leaderboard-test", "--file", str(FILE)]
    try:
        subprocess.run([*compose, "up", "--build", "--detach", "--wait"], check=True, timeout=280)
        mint = [*compose, "exec", "-T", "leaderboard", "leaderboard", "token", "--sub", "tester"]
        token = subprocess.check_output(mint, text=True).strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps({"score": 5}).encode()

        def scored() -> bool:
            request = urllib.request.Request("http://127.0.0.1:8000/api/score", body, headers)
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status in (200, 201)

        wait_until(scored, 30, "a score")
    finally:
        subprocess.run([*compose, "down", "--volumes", "--timeout", "5"], check=True)
