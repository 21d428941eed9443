"""Operator and service of different versions: what the one writes, the other reads.

skew/ has, for each released version and the one being made, the settings that its service knows and those that its
operator writes. `python -m tests.operator.test_skew` writes the files of the current version; those of released
versions stay as they are, for as long as their images and operators are supported.
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
from tests.operator.boards import spec
from tests.operator.samples import BOARDS, PUBLIC_KEY, board
from tornado_app import __version__
from tornado_app.config import SETTINGS, load_config

SKEW = Path(__file__).parent / "skew"

VERSIONS = sorted(path.stem for path in SKEW.glob("*.json"))


def current() -> dict[str, Any]:
    return {
        "knows": sorted(each.name for each in SETTINGS if each.info.key),
        "writes": {name: settings(each.spec) for name, each in BOARDS.items()},
    }


def recorded(version: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SKEW / f"{version}.json").read_text(encoding="utf-8"))
    return found


def test_record_of_this_version_is_up_to_date():
    """Until the release, new settings may be missing in it."""
    record, now = recorded(__version__), current()
    assert record["writes"] == now["writes"]
    assert set(record["knows"]) <= set(now["knows"])


@pytest.mark.parametrize("version", VERSIONS)
def test_older_image_knows_what_this_operator_writes(version):
    """The operator may write a new setting by itself only once every supported image knows it."""
    written = set(settings(board(spec(settings={})).spec))
    assert written <= set(recorded(version)["knows"])


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_newer_image_accepts_what_an_older_operator_wrote(version, name, tmp_path):
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
    """Keys themselves, of the algorithm, where the operator wrote the names of files."""
    proof_key = PUBLIC_KEY if written.get("proof_algorithm") == "ES256" else token_urlsafe(32)
    jwt_key = {} if "jwt_jwks_url" in written else {"jwt_key": token_urlsafe(32)}
    return {"proof_key": proof_key, **jwt_key}


def test_setting_that_an_older_image_does_not_know_is_named_in_the_condition(tmp_path):
    (tmp_path / "settings.yaml").write_text("setting_of_tomorrow: 1\n")
    command = [str(Path(sys.executable).with_name("leaderboard")), "serve", "--config", "settings.yaml"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEADERBOARD_")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode != 0
    ended = {"terminated": {"exitCode": 1, "message": done.stderr[-2048:]}}
    status = {"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [{"lastState": ended}]}
    found = problem([{"metadata": {}, "status": status}], datetime.now(UTC))
    assert found is not None
    assert found.reason == "StartupFailed"
    assert "setting_of_tomorrow" in found.message


if __name__ == "__main__":
    SKEW.mkdir(exist_ok=True)
    text = json.dumps(current(), indent=1, sort_keys=True) + "\n"
    (SKEW / f"{__version__}.json").write_text(text, encoding="utf-8")
