"""Builds the programs of the test cluster from pinned Go modules, once: `python -m tests.cluster.build [--node]`.

They are kept in ~/.cache/leaderboard/cluster, in a folder for each set of versions and flags. What a folder named by
KUBEBUILDER_ASSETS holds is used instead. A cold build takes two cores some five minutes, most of it kube-apiserver.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
KUBERNETES = re.search(r"^\tk8s\.io/kubernetes v(\S+)", (HERE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)[1]
GO = (1, 26)

CLUSTER = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok@v0.7.0",
    "helm": "helm.sh/helm/v4/cmd/helm@v4.2.4",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0",
}
"""The package of each program; those without a version are pinned by go.mod, the others want other Kubernetes
libraries than it has."""
NODE = {
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
}
"""What a node that runs images needs besides."""


class BuildError(Exception):
    """A build failed; the message is the compiler's."""


class NotBuiltError(Exception):
    """A program is not there; the message says how to get it."""


def program(name: str) -> Path:
    """Where a program is; never builds, as that takes longer than any test may."""
    for folder in _folders():
        if os.access(folder / name, os.X_OK):
            return folder / name
    raise NotBuiltError(
        f"{name} is not built. `make test` builds what the test cluster needs, once, in about five minutes, "
        f"where Go {GO[0]}.{GO[1]} or newer is installed."
    )


def build(packages: dict[str, str]) -> None:
    """Build what is not there yet. Safe to interrupt, and to run twice at the same time."""
    folder = _cache()
    if folder is None or not list(_missing(packages)):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        missing = list(_missing(packages))
        for number, name in enumerate(missing, start=1):
            _say(f"Building {name} for the test cluster ({number} of {len(missing)}, once)")
            with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as scratch:
                _go(packages[name], Path(scratch) / name)
                (Path(scratch) / name).replace(folder / name)


def _go(package: str, target: Path) -> None:
    version = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.split(".")
    # Charts ask for the API server's version, which is v0.0.0 unless it is stamped.
    stamp = f"-X {version}.gitVersion=v{KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    flags = ["-trimpath", "-ldflags", f"-s -w {stamp} -X {version}.gitTreeState=clean"]
    if "@" in package:
        command, environment = ["go", "install", *flags, package], {"GOBIN": str(target.parent)}
    else:
        command, environment = ["go", "build", "-mod=readonly", *flags, "-o", str(target), package], {}
    environment |= {"CGO_ENABLED": "0", "GOWORK": "off"}
    done = subprocess.run(command, cwd=HERE, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{' '.join(command)} in {HERE}:\n{done.stderr}")


def _missing(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if not any(os.access(folder / name, os.X_OK) for folder in _folders()):
            yield name


def _folders() -> list[Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    folders = (Path(assets) if assets else None, _cache())
    return [folder for folder in folders if folder is not None]


@cache
def _cache() -> Path | None:
    """The folder of these versions, built by this Go; None where there is no Go, or one that is too old."""
    if shutil.which("go") is None:
        return None
    asked = subprocess.run(["go", "env", "GOVERSION"], cwd=HERE, capture_output=True, text=True)
    found = re.match(r"go(\d+)\.(\d+)", asked.stdout)
    if found is None or (int(found[1]), int(found[2])) < GO:
        return None
    digest = hashlib.sha256(asked.stdout.encode())
    for text in ((HERE / "go.mod").read_text(encoding="utf-8"), repr(CLUSTER), repr(NODE)):
        digest.update(text.encode())
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "leaderboard" / "cluster" / digest.hexdigest()[:16]


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Waiting for another build of the test cluster")
            fcntl.flock(file, fcntl.LOCK_EX)
        for leftover in folder.glob(".building-*"):
            shutil.rmtree(leftover)
        yield


def main() -> int:
    """Build, or say that the tests that need it will be skipped."""
    packages = CLUSTER | NODE if "--node" in sys.argv[1:] else CLUSTER
    if _cache() is None and list(_missing(packages)):
        _say(f"Go {GO[0]}.{GO[1]} or newer is not installed: tests on a Kubernetes cannot run.")
        return 0
    try:
        build(packages)
    except BuildError as error:
        _say(f"The test cluster cannot be built: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
