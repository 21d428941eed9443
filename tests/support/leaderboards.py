"""Leaderboard resources and their Secrets, and a client for the namespace of a test."""

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

TIMEOUT = 120.0
"""Seconds to wait for a condition on a busy machine."""

SECRETS = {
    "arcade-mongo": {"uri": "mongodb://{namespace}.example:27017/?replicaSet=rs0"},
    "arcade-jwt": {"key": "a" * 44},
    "arcade-proof": {"key": "b" * 44},
}
"""Content by name. Each namespace has its own database, because a deleted namespace keeps its pods for a while."""


def spec(**changes: Any) -> Object:
    """A minimal spec with changes."""
    return {
        "database": {"connectionSecretRef": {"name": "arcade-mongo", "key": "uri"}, "name": "arcade"},
        "auth": {"jwt": {"secretRef": {"name": "arcade-jwt", "key": "key"}}},
        "actions": {"proofKeySecretRef": {"name": "arcade-proof", "key": "key"}},
        **changes,
    }


def leaderboard(name: str = "arcade", **changes: Any) -> Object:
    return {
        "apiVersion": "leaderboard.dev/v1alpha1",
        "kind": "Leaderboard",
        "metadata": {"name": name},
        "spec": spec(**changes),
    }


def secret(name: str, **values: str) -> Object:
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
OPTIONAL_KINDS = ("httproute", "servicemonitor", "prometheusrule")
OWNED_KINDS = [kind for kind in PATHS if kind not in ("leaderboard", "pod", "secret", "job", "event", *OPTIONAL_KINDS)]
MANAGED_SELECTOR = "app.kubernetes.io/managed-by=leaderboard-operator"


class Reader:
    """Reads from the API server over one connection, because a `kubectl` per poll is expensive."""

    def __init__(self, cluster: Cluster) -> None:
        url = urlsplit(cluster.url)
        tls = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
        tls.load_cert_chain(cluster.folder / "admin.crt", cluster.folder / "admin.key")
        self._connection = http.client.HTTPSConnection(str(url.hostname), url.port, timeout=20, context=tls)

    def get(self, path: str) -> Object | None:
        """The object at a path; None if there is none."""
        try:
            return self._get(path)
        except (OSError, http.client.HTTPException):  # the server closed the connection or restarted
            self._connection.close()
            return self._get(path)

    def close(self) -> None:
        self._connection.close()

    def _get(self, path: str) -> Object | None:
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        body = json.loads(response.read())
        assert response.status in (200, 404), body
        return body if response.status == 200 else None


class Leaderboards:
    """A client for the Leaderboards and other objects of one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.reader = Reader(cluster)

    def create_secrets(self, *names: str) -> None:
        """Create the Secrets that `spec` refers to, or some of them."""
        wanted = {name: SECRETS[name] for name in names or SECRETS}
        filled = json.loads(json.dumps(wanted).replace("{namespace}", self.namespace))
        self.apply(*(secret(name, **values) for name, values in filled.items()))

    def apply(self, *objects: Object) -> None:
        self.cluster.apply(*objects, namespace=self.namespace)

    def create(self, *objects: Object) -> None:
        """Create objects with one request each."""
        text = "\n---\n".join(json.dumps(object_) for object_ in objects)
        self.cluster.kubectl("create", "--filename=-", "--namespace", self.namespace, stdin=text)

    def get(self, kind: str = "leaderboard", name: str = "arcade") -> Object | None:
        return self.reader.get(f"{self._path(kind)}/{name}")

    def list(self, kind: str, selector: str = "") -> list[Object]:
        collection = self.reader.get(f"{self._path(kind)}?labelSelector={quote(selector)}")
        return collection["items"] if collection else []

    def _path(self, kind: str) -> str:
        return f"/{PATHS[kind]}/namespaces/{self.namespace}/{PLURALS.get(kind, kind + 's')}"

    def patch(self, patch: Object, kind: str = "leaderboard", name: str = "arcade", *flags: str) -> None:
        body = f"--patch={json.dumps(patch)}"
        self.cluster.kubectl("patch", kind, name, "--namespace", self.namespace, "--type=merge", body, *flags)

    def delete(self, kind: str = "leaderboard", name: str = "arcade", *flags: str) -> None:
        self.cluster.kubectl("delete", kind, name, "--namespace", self.namespace, *flags)

    def condition(self, type_: str = "Ready", name: str = "arcade") -> Object:
        """A condition of the current generation of a Leaderboard; empty if there is none."""
        live = self.get(name=name) or {"metadata": {}}
        for row in live.get("status", {}).get("conditions", []):
            if row["type"] == type_ and row["observedGeneration"] == live["metadata"]["generation"]:
                return row
        return {}

    def wait(self, status: str = "True", reason: str = "", type_: str = "Ready", name: str = "arcade") -> Object:
        """Wait until a condition has this status and reason, and return it."""

        def matching() -> Object | None:
            row = self.condition(type_, name)
            return row if row.get("status") == status and reason in ("", row["reason"]) else None

        try:
            return wait_until(matching, TIMEOUT, f"{type_}={status} {reason}") or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; current condition: {self.condition(type_, name)}") from None

    def settings(self) -> Object:
        """The ConfigMap with the settings of the only Leaderboard."""
        (found,) = (live for live in self.list("configmap", MANAGED_SELECTOR) if "settings.yaml" in live["data"])
        return found

    def owned_objects(self) -> dict[tuple[str, str], Object]:
        """The objects that the operator created, by kind and name."""
        lists = {kind: self.list(kind, MANAGED_SELECTOR) for kind in OWNED_KINDS}
        return {(kind, live["metadata"]["name"]): live for kind, objects in lists.items() for live in objects}
