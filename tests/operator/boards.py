"""Leaderboards for tests: their Secrets, the resource, and what became of it."""

from __future__ import annotations

import http.client
import json
import ssl
from base64 import b64encode
from typing import Any
from urllib.parse import quote, urlsplit

from tests.support.cluster import Cluster
from tests.support.wait import wait_until

Object = dict[str, Any]

PATIENCE = 120.0
"""Seconds within which a machine under load gets there."""

SECRETS = {
    "arcade-mongo": {"uri": "mongodb://{namespace}.example:27017/?replicaSet=rs0"},
    "arcade-jwt": {"key": "a" * 44},
    "arcade-proof": {"key": "b" * 44},
}
"""By name. Each namespace has a database of its own: one that is being deleted keeps what it has for a while."""


def spec(**changes: Any) -> Object:
    """The least that a Leaderboard needs, with changes."""
    return {
        "database": {"connectionSecretRef": {"name": "arcade-mongo", "key": "uri"}, "name": "arcade"},
        "auth": {"jwt": {"secretRef": {"name": "arcade-jwt", "key": "key"}}},
        "actions": {"proofKeySecretRef": {"name": "arcade-proof", "key": "key"}},
        **changes,
    }


def leaderboard(name: str = "arcade", **changes: Any) -> Object:
    """A Leaderboard."""
    return {
        "apiVersion": "leaderboard.dev/v1alpha1",
        "kind": "Leaderboard",
        "metadata": {"name": name},
        "spec": spec(**changes),
    }


def secret(name: str, **values: str) -> Object:
    """A Secret."""
    data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


PATHS = {
    "leaderboard": "apis/leaderboard.dev/v1alpha1",
    "serviceaccount": "api/v1",
    "configmap": "api/v1",
    "service": "api/v1",
    "pod": "api/v1",
    "secret": "api/v1",
    "job": "apis/batch/v1",
    "event": "api/v1",
    "deployment": "apis/apps/v1",
    "horizontalpodautoscaler": "apis/autoscaling/v2",
    "poddisruptionbudget": "apis/policy/v1",
    "networkpolicy": "apis/networking.k8s.io/v1",
    "ingress": "apis/networking.k8s.io/v1",
    "httproute": "apis/gateway.networking.k8s.io/v1",
    "servicemonitor": "apis/monitoring.coreos.com/v1",
    "prometheusrule": "apis/monitoring.coreos.com/v1",
}
PLURALS = {"networkpolicy": "networkpolicies", "ingress": "ingresses"}
OPTIONAL = ("httproute", "servicemonitor", "prometheusrule")
CHILDREN = [kind for kind in PATHS if kind not in ("leaderboard", "pod", "secret", "job", "event", *OPTIONAL)]
OURS = "app.kubernetes.io/managed-by=leaderboard-operator"


class Reader:
    """Reads from the API server over one connection: a `kubectl` for each look would keep the machine busy."""

    def __init__(self, cluster: Cluster) -> None:
        place = urlsplit(cluster.url)
        tls = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
        tls.load_cert_chain(cluster.folder / "admin.crt", cluster.folder / "admin.key")
        self._connection = http.client.HTTPSConnection(str(place.hostname), place.port, timeout=20, context=tls)

    def get(self, path: str) -> Object | None:
        """What is at a path, None where there is nothing."""
        try:
            return self._get(path)
        except (OSError, http.client.HTTPException):  # the server closed it, or began anew
            self._connection.close()
            return self._get(path)

    def close(self) -> None:
        self._connection.close()

    def _get(self, path: str) -> Object | None:
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = json.loads(answer.read())
        assert answer.status in (200, 404), body
        return body if answer.status == 200 else None


class Boards:
    """The Leaderboards of one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.reader = Reader(cluster)

    def secrets(self, *names: str) -> None:
        """Make the Secrets that `spec` names, or some of them."""
        wanted = {name: SECRETS[name] for name in names or SECRETS}
        filled = json.loads(json.dumps(wanted).replace("{namespace}", self.namespace))
        self.apply(*(secret(name, **values) for name, values in filled.items()))

    def apply(self, *objects: Object) -> None:
        """Create or change objects."""
        self.cluster.apply(*objects, namespace=self.namespace)

    def create(self, *objects: Object) -> None:
        """Create objects, by one request each."""
        text = "\n---\n".join(json.dumps(each) for each in objects)
        self.cluster.kubectl("create", "--filename=-", "--namespace", self.namespace, stdin=text)

    def get(self, kind: str = "leaderboard", name: str = "arcade") -> Object | None:
        """An object."""
        return self.reader.get(f"{self._path(kind)}/{name}")

    def list(self, kind: str, selector: str = "") -> list[Object]:
        """The objects of a kind."""
        found = self.reader.get(f"{self._path(kind)}?labelSelector={quote(selector)}")
        return found["items"] if found else []

    def _path(self, kind: str) -> str:
        return f"/{PATHS[kind]}/namespaces/{self.namespace}/{PLURALS.get(kind, kind + 's')}"

    def patch(self, patch: Object, kind: str = "leaderboard", name: str = "arcade", *flags: str) -> None:
        """A merge patch."""
        body = f"--patch={json.dumps(patch)}"
        self.cluster.kubectl("patch", kind, name, "--namespace", self.namespace, "--type=merge", body, *flags)

    def delete(self, kind: str = "leaderboard", name: str = "arcade", *flags: str) -> None:
        """Delete an object."""
        self.cluster.kubectl("delete", kind, name, "--namespace", self.namespace, *flags)

    def condition(self, type_: str = "Ready", name: str = "arcade") -> Object:
        """A condition of a Leaderboard that is about its latest spec; empty where there is none."""
        live = self.get(name=name) or {"metadata": {}}
        for each in live.get("status", {}).get("conditions", []):
            if each["type"] == type_ and each["observedGeneration"] == live["metadata"]["generation"]:
                return each
        return {}

    def wait(self, status: str = "True", reason: str = "", type_: str = "Ready", name: str = "arcade") -> Object:
        """Wait until a condition has a status, and a reason where one is given."""

        def found() -> Object | None:
            each = self.condition(type_, name)
            return each if each.get("status") == status and reason in ("", each["reason"]) else None

        try:
            return wait_until(found, PATIENCE, f"{type_}={status} {reason}") or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; there is {self.condition(type_, name)}") from None

    def children(self) -> dict[tuple[str, str], Object]:
        """What belongs to the Leaderboards, by kind and name."""
        return {(kind, each["metadata"]["name"]): each for kind in CHILDREN for each in self.list(kind, OURS)}
