"""Operators and services of different versions accept each other's settings.

skew/ has, for each released version and the current one, the settings that its service knows and those that its
operator writes. `python -m tests.operator.test_skew` writes the file of the current version. The files of released
versions do not change while their images and operators are supported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
import yaml

from leaderboard_operator.pods import problem
from leaderboard_operator.resources.configmap import settings
from leaderboard_operator.resources.deployment import container
from leaderboard_operator.spec.pod import SETTINGS_PREFIX
from tests.support.leaderboard_views import PUBLIC_KEY, VIEWS, view
from tests.support.leaderboards import spec
from tornado_app import __version__
from tornado_app.config import SETTINGS, load_config

SKEW = Path(__file__).parent / "skew"

VERSIONS = sorted(path.stem for path in SKEW.glob("*.json"))


def current() -> dict[str, Any]:
    return {
        "knows": sorted(setting.name for setting in SETTINGS if setting.info.key),
        "writes": {name: settings(leaderboard.spec) for name, leaderboard in VIEWS.items()},
    }


def recorded(version: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((SKEW / f"{version}.json").read_text(encoding="utf-8"))
    return record


def test_record_of_current_version_is_up_to_date():
    """Until the release, the record may lack new settings."""
    record, now = recorded(__version__), current()
    assert record["writes"] == now["writes"]
    assert set(record["knows"]) <= set(now["knows"])


@pytest.mark.parametrize("version", VERSIONS)
def test_settings_written_by_operator_are_known_to_older_image(version):
    """The operator may write a new setting when all supported images know it."""
    minimal = view(spec(settings={}))
    variables = {row["name"].removeprefix(SETTINGS_PREFIX).lower() for row in container(minimal)["env"]}
    written = {*settings(minimal.spec), *variables} - {"config"}
    assert written <= set(recorded(version)["knows"])


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("version", VERSIONS)
def test_settings_written_by_older_operator_are_accepted(version, name, tmp_path):
    written = recorded(version)["writes"][name]
    files = ("mongodb_uri_file", "jwt_key_file", "jwt_jwks_file", "proof_key_file", "proof_jwks_file", "tls_cert_file")
    without = {key: value for key, value in written.items() if key not in (*files, "tls_key_file", "actions_file")}
    without |= {"mongodb_uri": "mongodb://h/?replicaSet=r", "captcha_secret": "c"} | _keys(written)
    without.pop("captcha_secret_file", None)
    if "captcha_url" not in without:
        del without["captcha_secret"]
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(without))
    config = load_config({"config": str(tmp_path / "settings.yaml")}, {})
    assert config.port == written["port"]


def _keys(written: dict[str, Any]) -> dict[str, str]:
    """Keys for the written algorithms, instead of the names of key files."""
    proof_key = PUBLIC_KEY if written.get("proof_algorithm") == "ES256" else token_urlsafe(32)
    jwt_key = {} if "jwt_jwks_url" in written else {"jwt_key": token_urlsafe(32)}
    return {"proof_key": proof_key, **jwt_key}


def test_condition_with_unknown_setting_names_it(tmp_path):
    (tmp_path / "settings.yaml").write_text("unknown_setting: 1\n")
    command = [str(Path(sys.executable).with_name("leaderboard")), "serve", "--config", "settings.yaml"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEADERBOARD_")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode != 0
    terminated = {"terminated": {"exitCode": 1, "message": done.stderr[-2048:]}}
    status = {"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [{"lastState": terminated}]}
    reported = problem([{"metadata": {}, "status": status}], datetime.now(UTC))
    assert reported is not None
    assert reported.reason == "StartupFailed"
    assert "unknown_setting" in reported.message


if __name__ == "__main__":
    SKEW.mkdir(exist_ok=True)
    text = json.dumps(current(), indent=1, sort_keys=True) + "\n"
    (SKEW / f"{__version__}.json").write_text(text, encoding="utf-8")
