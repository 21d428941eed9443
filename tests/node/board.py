"""The operator from its chart, a Leaderboard of it, and pods that call on both."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from tests.support.chart import CHART, example
from tests.support.cluster import SERVICES
from tests.support.kubernetes import make_namespace
from tests.support.node import NodeCluster
from tests.support.service import KEY
from tests.support.wait import wait_until

HOME, GAMES = "leaderboard-system", "games"
OPERATOR, MONGODB = "lb-leaderboard-operator", "lb-leaderboard-dev-mongodb"
IMAGES = {
    "operator": {"image": {"registry": "localhost", "tag": "test"}},
    "app": {"image": {"registry": "localhost", "tag": "test"}},
    "devMongodb": {"enabled": True, "image": {"registry": "localhost", "repository": "mongodb", "tag": "test"}},
}
READY_SECONDS = 180
CALL = """
import sys, urllib.request
try:
    print("answered", urllib.request.urlopen(sys.argv[1], timeout=3).status)
except OSError as error:
    print(getattr(error, "reason", error))
"""

Object = dict[str, Any]


def install(node: NodeCluster) -> None:
    """The chart, with its MongoDB for trying out, in a namespace that runs only what the restricted standard allows."""
    make_namespace(node, HOME)
    address = urlsplit(node.url)  # policies see the API server behind its Service, at a port that was free
    server = {"ports": [443, address.port], "networks": [SERVICES, f"{address.hostname}/32"]}
    values = IMAGES | {"networkPolicy": {"apiServer": server}}
    node.helm("install", "lb", str(CHART), "--namespace", HOME, "--set-json", json.dumps(values))
    wait_for(node, HOME, f"statefulset/{MONGODB}", "jsonpath={.status.readyReplicas}=1")
    wait_for(node, HOME, f"deployment/{OPERATOR}", "condition=Available")


def wait_for(node: NodeCluster, namespace: str, what: str, condition: str) -> None:
    """`kubectl wait`, for as long as pods may take to start on a busy machine."""
    command = ("wait", what, f"--for={condition}", "--namespace", namespace, "--timeout=20s")
    wait_until(lambda: node.kubectl(*command, check=False).returncode == 0, READY_SECONDS, f"{what}: {condition}")


class Board:
    """The Leaderboard `arcade` of the smallest example: two pods."""

    def __init__(self, node: NodeCluster) -> None:
        self.node = node
        make_namespace(node, GAMES)
        found = node.get("secret", MONGODB, HOME)
        assert found is not None
        texts = {
            ("arcade-mongo", "uri"): base64.b64decode(found["data"]["uri"]).decode(),
            ("arcade-jwt", "key"): KEY,
            ("arcade-proof", "key"): secrets.token_urlsafe(32),
        }
        for (name, key), text in texts.items():
            node.kubectl("create", "secret", "generic", name, f"--from-literal={key}={text}", "--namespace", GAMES)
        node.apply(example("minimal"), namespace=GAMES)
        wait_for(node, GAMES, "leaderboard/arcade", "condition=Ready")
        self.settle()
        service = node.get("service", "arcade", GAMES)
        assert service is not None
        self.address = f"{service['spec']['clusterIP']}:8080"
        # kube-proxy sets up the Service's address on its own, up to a second after the pods are ready.
        wait_until(lambda: call(f"http://{self.address}/readyz") == "answered 200", 20, "the Service's address serves")

    @property
    def status(self) -> Object:
        found = self.node.get("leaderboard", "arcade", GAMES)
        assert found is not None
        return found["status"]

    def pods(self) -> list[Object]:
        """Those that are there, those that end included."""
        return self.node.objects("pods", GAMES, "app.kubernetes.io/instance=arcade")

    def patch(self, **spec: Any) -> None:
        """Change members of `spec`."""
        patch = json.dumps({"spec": spec})
        self.node.kubectl("patch", "leaderboard", "arcade", "--type=merge", "--patch", patch, "--namespace", GAMES)

    def settle(self, *gone: str) -> None:
        """Until two pods serve, and nothing else of it is there: none of those that shall be `gone`."""

        def settled() -> bool:
            pods = self.pods()
            return len(pods) == 2 and all(_ready(each) and each["metadata"]["name"] not in gone for each in pods)

        wait_until(settled, READY_SECONDS, "two pods serve")


def _ready(pod: Object) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


class Visitor:
    """A pod in a namespace of its own, with these labels, that calls on others."""

    def __init__(self, node: NodeCluster, namespace: str, **labels: str) -> None:
        self.node = node
        self.namespace = namespace
        make_namespace(node, namespace)
        if labels:
            self.label(**labels)
        wait_until(lambda: node.get("serviceaccount", "default", namespace), 30, "its ServiceAccount")
        security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        container = {
            "name": "main",
            "image": "localhost/leaderboard-app:test",
            "command": ["sleep", "infinity"],
            "securityContext": security,
        }
        spec = {
            "containers": [container],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": 0,
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "visitor"}, "spec": spec}
        node.apply(pod, namespace=namespace)
        wait_for(node, namespace, "pod/visitor", "condition=Ready")

    def label(self, **labels: str) -> None:
        """Put labels on its namespace."""
        self.node.kubectl("label", "namespace", self.namespace, *(f"{name}={text}" for name, text in labels.items()))

    def call(self, url: str) -> str:
        """What becomes of a request: `answered` and the status, or why not."""
        command = ("exec", "visitor", "--namespace", self.namespace, "--", "python3", "-c", CALL, url)
        return self.node.kubectl(*command).stdout.strip()


def call(url: str) -> str:
    """The same from this machine, which is outside of the cluster."""
    place = urlsplit(url)
    connection = HTTPConnection(str(place.netloc), timeout=3)
    try:
        connection.request("GET", place.path)
        return f"answered {connection.getresponse().status}"
    except OSError as error:
        return str(error)
    finally:
        connection.close()


def kill(node: NodeCluster, pod: Object) -> None:
    """kill -9 all that runs in a pod's containers."""
    pids = node.processes(pod)
    assert pids, "the pod runs"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
