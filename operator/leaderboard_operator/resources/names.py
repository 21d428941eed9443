"""What all objects of a Leaderboard share: names, labels, owner, paths and ports inside the pods."""

from __future__ import annotations

from typing import Any

import msgspec

from leaderboard_operator import API_VERSION, GROUP, KIND, MANAGER
from leaderboard_operator.monitoring import Routing
from leaderboard_operator.spec import Spec

Object = dict[str, Any]

Key = tuple[str, str]
"""Namespace and name of a Leaderboard."""

HTTP_PORT, METRICS_PORT = 8080, 8081

CONFIG_DIR, SECRETS_DIR = "/etc/leaderboard/config", "/etc/leaderboard/secrets"

NAME_LABEL = f"{GROUP}/name"
"""The label of everything of a Leaderboard, by which its pods are selected: no other program sets it."""

DROP_LABEL, UID_LABEL = f"{GROUP}/drop", f"{GROUP}/uid"
"""Labels of a Job that drops a database and of its pods: name and uid of the Leaderboard."""

MANAGED = {"app.kubernetes.io/managed-by": MANAGER}
"""The label of everything that the operator makes; its watches ask for it."""


def present(part: msgspec.Struct) -> Object:
    """A part of the spec as Kubernetes takes it: what was left out is not there."""
    found: Object = msgspec.to_builtins(part)
    return _without_none(found)


def _without_none(found: Object) -> Object:
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in found.items()
        if value is not None
    }


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """A Leaderboard as the builders need it. `image` is the one to run, `secrets_hash` changes with any Secret used.

    `kept`: template and annotations of a Deployment whose pods are to stay as they are; rollouts.py says when.
    `monitoring_labels`: by which the Prometheus operator selects its objects.
    """

    namespace: str
    name: str
    uid: str
    spec: Spec
    image: str
    secrets_hash: str = ""
    kept: Object | None = None
    monitoring_labels: dict[str, str] = {}
    routing: Routing = Routing()

    @property
    def owner(self) -> str:
        """What the service records as the owner of the database."""
        return f"{self.namespace}/{self.name}/{self.uid}"

    @property
    def selector(self) -> dict[str, str]:
        """The label that the pods are found by; it never changes."""
        return {NAME_LABEL: self.name}

    @property
    def labels(self) -> dict[str, str]:
        """The labels of every object."""
        common = {"app.kubernetes.io/name": "leaderboard", "app.kubernetes.io/instance": self.name}
        return {**common, **self.selector, **MANAGED}

    @property
    def replicas(self) -> int:
        """Pods asked for; with autoscaling within its bounds, also before the autoscaler has looked, or none at all."""
        scaling = self.spec.autoscaling
        if scaling is None or self.spec.replicas == 0:
            return self.spec.replicas
        return min(max(self.spec.replicas, scaling.min_replicas), scaling.max_replicas)

    @property
    def most_replicas(self) -> int | None:
        """Most pods that the autoscaler may ask for; None where there is none, or it has no choice."""
        scaling = self.spec.autoscaling
        if scaling is None or self.spec.replicas == 0 or scaling.min_replicas == scaling.max_replicas:
            return None
        return scaling.max_replicas

    @property
    def scheme(self) -> str:
        """How the pods serve: with a certificate of their own, or not."""
        return "https" if "tls_cert_file" in self.spec.settings else "http"

    def object(
        self,
        api_version: str,
        kind: str,
        *,
        name: str | None = None,
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        **rest: Any,
    ) -> Object:
        """An object that belongs to the Leaderboard and goes with it. `labels` are more than every object has.

        `rest` is its content.
        """
        return {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": name or self.name,
                "namespace": self.namespace,
                "labels": {**self.labels, **(labels or {})},
                **({"annotations": annotations} if annotations else {}),
                "ownerReferences": [self._owner()],
            },
            **rest,
        }

    def monitoring_object(self, kind: str, **rest: Any) -> Object:
        """An object of the Prometheus operator's."""
        labels = {**self.monitoring_labels, **self.labels}
        return self.object("monitoring.coreos.com/v1", kind, labels=labels, **rest)

    def _owner(self) -> Object:
        return {
            "apiVersion": f"{GROUP}/{API_VERSION}",
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
