"""`leaderboard-operator run` as a process, with the flags and the rights that the chart gives it."""

from __future__ import annotations

import os
import sys
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import URLError

from tests.support.chart import RBAC, of_kind, rendered
from tests.support.cluster import HOST, Cluster
from tests.support.crds import wait_served
from tests.support.program import Program
from tornado_app.mongo.embedded.mongod import free_port

RELEASE = "lb"
ACCOUNT = "lb-leaderboard-operator"

Object = dict[str, Any]


class Operator(Program):
    """A process of the operator. Processes of one installation compete for its lease; each has its own token."""

    def __init__(self, installed: Installation, log: Path) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.restarts = 0
        self.kubeconfig = installed.cluster.kubeconfig_of(ACCOUNT, installed.namespace)
        command = [str(Path(sys.executable).with_name("leaderboard-operator")), *installed.arguments]
        environment = {name: text for name, text in os.environ.items() if not name.endswith(("_proxy", "_PROXY"))}
        environment |= {"KUBECONFIG": str(self.kubeconfig), "PYTHONUNBUFFERED": "1"}
        super().__init__(
            [*command, f"--host={HOST}", f"--metrics-port={port}", "--health-port=0"],
            log,
            lambda: self.get("/healthz") == "ok",
            environment,
        )

    def keep_running(self) -> None:
        """Restart it if it has exited, as its Deployment does. `restarts` counts."""
        if self.process is not None and self.process.poll() is not None:
            self._reap()
            self.restarts += 1
            self.start()

    def get(self, path: str) -> str | None:
        """The body of a response of a probe or /metrics; None if the status is not 200."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:
                return response.read().decode()
        except (URLError, ConnectionError, TimeoutError):
            return None


class Installation:
    """The rights of the operator as `helm install` creates them, without its pods. `watch` is `watchNamespaces`."""

    def __init__(self, cluster: Cluster, namespace: str, watch: tuple[str, ...] = ()) -> None:
        self.cluster = cluster
        self.namespace = namespace
        objects = rendered({"watchNamespaces": list(watch)}, RELEASE, namespace)
        self._rights = of_kind(objects, *RBAC)
        (deployment,) = of_kind(objects, "Deployment")
        self.arguments: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]

    def __enter__(self) -> Installation:
        self.cluster.apply(*self._rights)
        return self

    def __exit__(self, *_: object) -> None:
        for role in of_kind(self._rights, "ClusterRole", "ClusterRoleBinding"):
            self.cluster.kubectl("delete", role["kind"].lower(), role["metadata"]["name"])


def install_crd(cluster: Cluster) -> None:
    """Install the CustomResourceDefinition of the chart, and wait until the API server serves it."""
    (crd,) = of_kind(rendered({}, RELEASE), "CustomResourceDefinition")
    cluster.apply(crd)
    wait_served(cluster, crd["metadata"]["name"])
