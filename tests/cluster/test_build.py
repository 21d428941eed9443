"""The build of the programs of the test cluster, with a fake Go that builds at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.build import CLUSTER, CRDS, GATEWAY, NODE
from tests.support.mongod import end_with_parent
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
FAKE_GO = """#!/bin/sh
set -e
echo "$@" >> "$CALLS"
last() { for each; do :; done; echo "$each"; }
case "$1 $2" in
  "env GOVERSION") echo "${VERSION:-go1.26.0}" ;;
  "mod download")
    module="$(dirname "$CALLS")/module"
    mkdir -p "$module/config/crd/standard" "$module/example/prometheus-operator-crd"
    touch "$module/config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
    touch "$module/config/crd/standard/gateway.networking.k8s.io_gateways.yaml"
    touch "$module/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"
    touch "$module/example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"
    echo "{\\"Dir\\": \\"$module\\"}" ;;
  build*)
    while [ "$1" != -o ]; do shift; done
    [ "$(basename "$2")" != "$BROKEN" ] || { echo "cannot find package" >&2; exit 1; }
    echo half > "$2"
    [ "$(basename "$2")" != "$ENDLESS" ] || exec sleep 600
    echo whole > "$2" ;;
  install*) name="$(basename "$(last "$@")")"; echo whole > "$GOBIN/${name%@*}" ;;
esac
"""


class Machine:
    """A home folder, and a PATH on which `go` is the fake one."""

    def __init__(self, folder: Path) -> None:
        self.calls = folder / "calls"
        self.calls.touch()
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "go").write_text(FAKE_GO)
        (self.bin / "go").chmod(0o755)
        self.caches = folder / "caches"
        self.environment = {
            "PATH": f"{self.bin}{os.pathsep}{os.defpath}",
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(self.caches),
            "CALLS": str(self.calls),
        }

    def spawn(self, *kits: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.build", *kits],
            env=self.environment | environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=end_with_parent,
            start_new_session=True,
        )

    def build(self, *kits: str, **environment: str) -> tuple[int, str]:
        with self.spawn(*kits, **environment) as process:
            _, output = process.communicate(timeout=60)
        return process.returncode, output

    def built(self, kit: str = "cluster") -> dict[str, str]:
        found = self.caches.glob(f"leaderboard/{kit}/*/*")
        return {path.name: path.read_text().strip() for path in found if not path.name.startswith(".")}

    def leftovers(self) -> list[Path]:
        return list(self.caches.rglob(".building-*"))

    def compiled(self) -> int:
        return sum(line.startswith(("build", "install")) for line in self.calls.read_text().splitlines())


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_build_builds_all_programs_once_and_prints_them(machine):
    code, output = machine.build()
    assert code == 0, output
    assert f"Building kube-apiserver for the test cluster (2 of {len(CLUSTER | CRDS)}, once)" in output
    assert (set(machine.built()), set(machine.built("gateway"))) == (set(CLUSTER | CRDS), set(GATEWAY))
    assert machine.build() == (0, "")
    assert machine.compiled() == len(CLUSTER)


def test_build_of_the_node_programs_is_optional(machine):
    assert machine.build()[0] == 0
    assert machine.built("node") == {}
    code, output = machine.build("node")
    assert code == 0, output
    assert output.startswith(f"Building kubelet for the test node (1 of {len(NODE)}, once)")
    assert (set(machine.built()), set(machine.built("node"))) == (set(CLUSTER | CRDS), set(NODE))


def test_interrupted_build_leaves_no_partial_program_and_continues(machine):
    with machine.spawn(ENDLESS="kube-apiserver") as process:
        wait_until(machine.leftovers, what="the endless build")
        wait_until(lambda: machine.compiled() == 2, what="the second program")
        os.killpg(process.pid, signal.SIGKILL)
    assert machine.built() == {"etcd": "whole"}
    code, output = machine.build()
    assert code == 0, output
    assert set(machine.built()) == set(CLUSTER | CRDS)
    assert (machine.built()["kube-apiserver"], machine.leftovers()) == ("whole", [])
    assert machine.compiled() == len(CLUSTER) + 1


def test_concurrent_builds_build_each_program_once(machine):
    with machine.spawn() as one, machine.spawn() as other:
        for process in (one, other):
            process.communicate(timeout=60)
            assert process.returncode == 0
    assert machine.compiled() == len(CLUSTER)


def test_failed_build_prints_the_compiler_error(machine):
    code, output = machine.build(BROKEN="kube-scheduler")
    assert code == 1
    assert "cannot find package" in output
    assert "kube-scheduler" not in machine.built()


def test_build_skips_programs_of_kubebuilder(machine, tmp_path):
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (assets / name).touch()
    assert machine.build(KUBEBUILDER_ASSETS=str(assets))[0] == 0
    assert not {"etcd", "kube-apiserver", "kubectl"} & set(machine.built())
    assert "kwok" in machine.built()


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", "nothing"])
def test_build_treats_an_old_go_as_missing(machine, version):
    code, output = machine.build(VERSION=version)
    assert (code, machine.built()) == (0, {})
    assert "Go 1.26 or newer is not installed" in output


def test_build_without_go_names_what_to_install(machine):
    (machine.bin / "go").unlink()
    machine.environment["PATH"] = str(machine.bin)
    assert "Go 1.26 or newer is not installed" in machine.build()[1]
    code = "from tests.cluster.build import find; find('etcd')"
    done = subprocess.run([sys.executable, "-c", code], env=machine.environment, capture_output=True, text=True)
    assert "`make cluster` builds what the test cluster needs" in done.stderr
