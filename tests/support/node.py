"""A Kubernetes with one real node: containerd, kubelet, kube-proxy, CoreDNS and an agent that enforces NetworkPolicies.

Pods and Services are reached from this machine by their addresses. One at a time: the addresses are fixed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.cluster.build import CLUSTER, NODE, find
from tests.support import nodefiles
from tests.support.cluster import SERVICES, ControlPlane
from tests.support.enclosure import HOST, Enclosure
from tests.support.enclosure import NODE as ADDRESS
from tests.support.kubernetes import need_programs
from tests.support.nodefiles import NAME, PODS
from tests.support.program import Program
from tests.support.requirements import missing
from tests.support.wait import wait_until

TOOLS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "ip": "iproute2",
    "iptables": "iptables",
    "nft": "nftables",
    "nsenter": "util-linux",
    "runc": "runc",
}
"""Commands that a node needs, and Debian's package of each."""
QUEUED = "-t mangle -I FORWARD -m conntrack --ctstate NEW -j NFQUEUE --queue-num 100 --queue-bypass"
"""Hands new connections to kube-network-policies. It asks for them by nftables' `queue` itself, which not every kernel
has. On FORWARD, because policies do not apply to the node's own connections, such as probes."""
CTR = ("ctr", "--namespace=k8s.io")
IMPORT_SECONDS = 120
CTR_SECONDS = 20

Object = dict[str, Any]


def need_node() -> None:
    """Skip, or with CI=true fail, where no node can be run."""
    if os.geteuid() != 0:
        missing("a node is run by root: run `make test-node` as root")
    absent = {package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    if not (nodefiles.PLUGINS / "bridge").exists():
        absent.add("containernetworking-plugins")
    if absent:
        missing(f"a node cannot be run without: apt-get install {' '.join(sorted(absent))}")
    need_programs(*CLUSTER, *NODE)


class NodeCluster(ControlPlane):
    """The control plane and its node; a context manager. `archives`: the images that the node has."""

    def __init__(self, *archives: Path) -> None:
        super().__init__(HOST)
        self._archives = archives
        self._home = self.folder / "node"
        self._within: list[Program] = []
        self.enclosure = Enclosure(self._home, SERVICES, PODS)

    @property
    def programs(self) -> list[Program]:
        return [*super().programs, *self._within]

    def __exit__(self, *_: object) -> None:
        try:
            self.enclosure.__exit__()
        finally:
            super().__exit__()

    def processes(self, pod: Object) -> list[int]:
        """What runs in a pod's containers, as pids of this machine."""
        ids = [each["containerID"].partition("://")[2] for each in pod["status"]["containerStatuses"]]
        found = []
        for cgroups in Path("/proc").glob("[0-9]*/cgroup"):
            with suppress(OSError):  # it has ended meanwhile
                if any(each in cgroups.read_text() for each in ids):
                    found.append(int(cgroups.parent.name))
        return found

    # -- making it --------------------------------------------------------------------------------

    def _start(self) -> None:
        self.enclosure.__enter__()
        super()._start()

    def _join_node(self) -> None:
        self._write_files()
        runtime = self._spawn("containerd", self._runtime_answers, f"--config={self.folder}/containerd.toml")
        runtime.wait()
        for archive in self._archives:
            self.enclosure.run(*CTR, "images", "import", str(archive), seconds=IMPORT_SECONDS)
        self._spawn_agents()
        self.apply(*nodefiles.names_service())
        wait_until(lambda: self.get("node", NAME), 30, "the kubelet has registered its node")
        self.kubectl("wait", "--for=condition=Ready", f"node/{NAME}", "--timeout=50s")

    def _spawn_agents(self) -> None:
        self._spawn(
            "kubelet",
            self._healthy(nodefiles.KUBELET),
            f"--config={self.folder}/kubelet.json",
            f"--kubeconfig={self.folder}/kubelet.kubeconfig",
            f"--hostname-override={NAME}",
            f"--node-ip={ADDRESS}",
        )
        self._spawn("kube-proxy", self._healthy(nodefiles.PROXY), f"--config={self.folder}/kube-proxy.json")
        self._spawn("coredns", self._healthy(nodefiles.HEALTH, "/health"), "-conf", f"{self.folder}/Corefile")
        self._spawn(
            "kube-network-policies",
            self._healthy(nodefiles.METRICS, "/metrics"),
            f"-kubeconfig={self.kubeconfig}",
            f"-hostname-override={NAME}",
            f"-metrics-bind-address={ADDRESS}:{nodefiles.METRICS}",
            "-disable-nri",  # containerd 1.6 has none
        )
        self.enclosure.run("iptables", *QUEUED.split())

    def _write_files(self) -> None:
        self.certified("kubelet", f"system:node:{NAME}", "system:nodes", hosts=(ADDRESS, NAME))
        self.certified("kube-proxy", "system:kube-proxy")
        (self._home / "network").mkdir()
        texts = {
            self._home / "network" / "10-pods.conflist": json.dumps(nodefiles.network()),
            self.folder / "containerd.toml": nodefiles.containerd(self._home),
            self.folder / "kubelet.json": json.dumps(nodefiles.kubelet(self.folder, self._home)),
            self.folder / "kube-proxy.json": json.dumps(nodefiles.proxy(self.folder)),
            self.folder / "Corefile": nodefiles.names(self.folder),
        }
        for path, text in texts.items():
            path.write_text(text)

    def _spawn(self, name: str, ready: Callable[[], bool], *flags: str) -> Program:
        """Start a program on the node. It ends with the node: what is killed before is only who started it."""
        path = shutil.which(name) if name in TOOLS else find(name)
        program = Program(self.enclosure.within(str(path), *flags), self.folder / f"{name}.log", ready)
        self._within.append(program)
        program.spawn()
        return program

    def _healthy(self, port: int, path: str = "/healthz") -> Callable[[], bool]:
        return lambda: self._answers(f"http://{ADDRESS}:{port}{path}")

    def _runtime_answers(self) -> bool:
        command = self.enclosure.within(*CTR, "version")
        return subprocess.run(command, capture_output=True, timeout=CTR_SECONDS).returncode == 0
