"""Builds the programs of the test cluster from pinned Go modules, once: `python -m tests.cluster.build`.

With the argument `node`, also those of its real node. They are kept in ~/.cache/leaderboard/cluster and …/node, in a
folder for each set of versions and flags. What a folder named by KUBEBUILDER_ASSETS holds is used instead. A cold build
takes two cores some five minutes, most of it kube-apiserver; the node's takes as long again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.support.building import GO, BuildError, NotBuiltError, cache_folder, go_version, one_at_a_time, say

HERE = Path(__file__).parent
KUBERNETES = re.search(r"^\tk8s\.io/kubernetes v(\S+)", (HERE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)[1]
PROMETHEUS = "github.com/prometheus-operator/prometheus-operator@v0.85.0/example/prometheus-operator-crd"

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
    "coredns": "github.com/coredns/coredns@v1.12.4",
    "kube-network-policies": "./policies",
}
"""What a real node needs beyond that. A folder is a module of its own, with one tool: `go install` refuses a module
that replaces others."""
CRDS = {
    "httproutes.yaml": "sigs.k8s.io/gateway-api@v1.4.1/config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    "servicemonitors.yaml": f"{PROMETHEUS}/monitoring.coreos.com_servicemonitors.yaml",
    "prometheusrules.yaml": f"{PROMETHEUS}/monitoring.coreos.com_prometheusrules.yaml",
}
"""Kinds of others that the operator makes objects of: a file of a module each."""
GATEWAY = {
    "gateways.yaml": CRDS["httproutes.yaml"].replace("httproutes", "gateways"),
}
"""The CRD of Gateways, which the operator reads and never creates."""
KITS = {"cluster": CLUSTER | CRDS, "gateway": GATEWAY, "node": NODE}
"""What is built together, and kept in one folder: a new file or program of one kit does not rebuild the API server."""

_VERSION = "k8s.io/component-base/version"
_STAMP = {  # charts ask for the API server's version, which is v0.0.0 unless it is stamped
    "gitVersion": f"v{KUBERNETES}",
    "gitMajor": KUBERNETES.split(".")[0],
    "gitMinor": KUBERNETES.split(".")[1],
    "gitTreeState": "clean",
}
FLAGS = ("-trimpath", "-ldflags", " ".join(["-s -w", *(f"-X {_VERSION}.{key}={to}" for key, to in _STAMP.items())]))


def find(name: str) -> Path:
    """Where a program or a file of CRDS is; never builds, as that takes longer than any test may."""
    for folder in _folders():
        if (folder / name).exists():
            return folder / name
    command = "make test-node" if name in NODE else "make cluster"
    raise NotBuiltError(
        f"{name} is not built. `{command}` builds what the test cluster needs, once, in about five minutes, "
        f"where Go {GO[0]}.{GO[1]} or newer is installed."
    )


def build(kit: str) -> None:
    """Build what is not there yet. Safe to interrupt, and to run twice at the same time."""
    folder, wanted = _cache(kit), KITS[kit]
    if folder is None or not list(_missing(wanted)):
        return
    with one_at_a_time(folder, f"the test {kit}"):
        missing = list(_missing(wanted))
        for number, name in enumerate(missing, start=1):
            say(f"Building {name} for the test {kit} ({number} of {len(missing)}, once)")
            with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as scratch:
                target = Path(scratch) / name
                _make(wanted[name], target)
                target.replace(folder / name)


def _make(source: str, target: Path) -> None:
    if source.endswith(".yaml"):
        version = source.index("/", source.index("@"))
        module = json.loads(_go("mod", "download", "-json", source[:version]))
        shutil.copyfile(module["Dir"] + source[version:], target)
    elif "@" in source:
        _go("install", *FLAGS, source, GOBIN=str(target.parent))
    elif source.startswith("./"):
        _go("build", "-mod=readonly", *FLAGS, "-o", str(target), "tool", folder=HERE / source)
    else:
        _go("build", "-mod=readonly", *FLAGS, "-o", str(target), source)


def _go(*arguments: str, folder: Path = HERE, **environment: str) -> str:
    environment |= {"CGO_ENABLED": "0", "GOWORK": "off"}
    done = subprocess.run(["go", *arguments], cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"go {' '.join(arguments)} in {folder}:\n{done.stderr}")
    return done.stdout


def _missing(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if not any((folder / name).exists() for folder in _folders()):
            yield name


def _folders() -> list[Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    folders = (Path(assets) if assets else None, *(_cache(kit) for kit in KITS))
    return [folder for folder in folders if folder is not None]


@cache
def _cache(kit: str) -> Path | None:
    """The folder of these versions, built by this Go; None where there is no Go, or one that is too old."""
    version = go_version(HERE)
    if version is None:
        return None
    modules, made_of = {
        "cluster": (["go.mod"], (CLUSTER, CRDS, FLAGS)),
        "gateway": ([], (GATEWAY,)),
        "node": (["go.mod", "policies/go.mod"], (NODE, FLAGS)),
    }[kit]
    return cache_folder(kit, version, *((HERE / each).read_text(encoding="utf-8") for each in modules), repr(made_of))


def main(arguments: list[str]) -> int:
    """Build, or say that the tests that need it will be skipped."""
    kits = ["cluster", "gateway", *arguments]
    if any(_cache(kit) is None and list(_missing(KITS[kit])) for kit in kits):
        say(f"Go {GO[0]}.{GO[1]} or newer is not installed: tests on a Kubernetes cannot run.")
        return 0
    try:
        for kit in kits:
            build(kit)
    except BuildError as error:
        say(f"The test cluster cannot be built: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
