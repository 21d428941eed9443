"""`make` installs with uv, from where pip would install."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile

import pytest

from tests.support.project import ROOT
from tests.support.requirements import missing

SCRIPT = ROOT / ".ci" / "install.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("install", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pip_settings_of_later_sections_have_precedence(script):
    listing = """\
:env:.index-url='https://env.test/simple'
:env:.extra-index-url='https://a.test/simple\\nhttps://b.test/simple'
download.index-url='https://download.test/simple'
global.index-url='https://global.test/simple'
global.timeout='60'
install.timeout='90'
"""
    assert script.pip_settings(listing) == {
        "index-url": "https://env.test/simple",
        "extra-index-url": "https://a.test/simple\nhttps://b.test/simple",
        "timeout": "90",
    }


def test_index_settings_become_variables_of_uv(script):
    found = script.uv_environment(
        {
            "index-url": "https://a.test/simple",
            "extra-index-url": "https://b.test/simple\nhttps://c.test/simple",
            "find-links": "/wheels /more",
            "trusted-host": "a.test",
            "cert": "/ca.pem",
            "quiet": "1",
        }
    )
    assert (
        found.items()
        >= {
            "UV_DEFAULT_INDEX": "https://a.test/simple",
            "UV_INDEX": "https://b.test/simple https://c.test/simple",
            "UV_FIND_LINKS": "/wheels,/more",
            "UV_INSECURE_HOST": "a.test",
            "SSL_CERT_FILE": "/ca.pem",
        }.items()
    )
    assert "quiet" not in str(found).lower()


@pytest.mark.parametrize("setting", ["require-hashes", "no-binary", "keyring-provider", "a-setting-of-next-year"])
def test_setting_without_an_equivalent_leaves_it_to_pip(script, setting):
    assert script.uv_environment({setting: "1"}) is None


def wheel(folder):
    """A package that no index has."""
    folder.mkdir()
    info = "leaderboard_sample-1.0.dist-info"
    with zipfile.ZipFile(folder / "leaderboard_sample-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("leaderboard_sample.py", "")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: leaderboard-sample\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.mark.long
@pytest.mark.parametrize("setting", ["", "require-virtualenv = false\nno-build-isolation = true"], ids=["uv", "pip"])
def test_installs_from_the_place_in_the_configuration_of_pip(tmp_path, setting):
    if importlib.util.find_spec("uv") is None:
        missing("uv is not installed: make .venv/.dev")
    wheel(tmp_path / "wheels")
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nno-index = true\nfind-links = {tmp_path / 'wheels'}\n{setting}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environment |= {"PIP_CONFIG_FILE": str(configuration), "UV_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, str(SCRIPT), "--target", str(tmp_path / "target"), "leaderboard-sample"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target" / "leaderboard_sample.py").is_file()
    assert done.stdout == ("Installing with pip instead of uv; this takes longer\n" if setting else "")
