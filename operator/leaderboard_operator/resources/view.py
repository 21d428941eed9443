"""`LeaderboardView`, the input of all builders, with the names, labels, paths and ports that objects share."""

from __future__ import annotations

from typing import Any

import msgspec

from leaderboard_operator import API_VERSION, GROUP, KIND, MANAGER, Object
from leaderboard_operator.monitoring import Routing
from leaderboard_operator.spec import Spec

Key = tuple[str, str]
"""Namespace and name of a Leaderboard."""

HTTP_PORT, METRICS_PORT = 8080, 8081

CONFIG_DIR, BOARDS_DIR, SECRETS_DIR = (f"/etc/leaderboard/{name}" for name in ("config", "boards", "secrets"))

NAME_LABEL = f"{GROUP}/name"
"""Label of all objects of a Leaderboard, and the selector of its pods. No other program sets it."""

DROP_LABEL, UID_LABEL = f"{GROUP}/drop", f"{GROUP}/uid"
"""Labels of a Job that drops a database, and of its pods: name and uid of the Leaderboard."""

MANAGED = {"app.kubernetes.io/managed-by": MANAGER}
"""Label of all objects that the operator creates, and the selector of its watches."""


def without_unset(part: msgspec.Struct) -> Object:
    """A part of the spec in Kubernetes' form, without its unset fields."""
    fields: Object = msgspec.to_builtins(part)
    return _without_none(fields)


def _without_none(fields: Object) -> Object:
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None
    }


class LeaderboardView(msgspec.Struct, frozen=True, kw_only=True):
    """A Leaderboard resource as the builders need it.

    `secrets_hash` changes with the content of each referenced Secret key. `kept` is the template and the annotations of
    the existing Deployment, if its pods must not be replaced yet (rollouts.py). `monitoring_labels` are the labels by
    which Prometheus selects ServiceMonitors and PrometheusRules.
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
        """The owner that the service records in the database."""
        return f"{self.namespace}/{self.name}/{self.uid}"

    @property
    def selector(self) -> dict[str, str]:
        """The selector of the pods. It is immutable in a Deployment."""
        return {NAME_LABEL: self.name}

    @property
    def labels(self) -> dict[str, str]:
        common = {"app.kubernetes.io/name": "leaderboard", "app.kubernetes.io/instance": self.name}
        return {**common, **self.selector, **MANAGED}

    @property
    def replicas(self) -> int:
        """Desired pods. With autoscaling they are within its bounds, unless `spec.replicas` is 0."""
        scaling = self.spec.autoscaling
        if scaling is None or self.spec.replicas == 0:
            return self.spec.replicas
        return min(max(self.spec.replicas, scaling.min_replicas), scaling.max_replicas)

    @property
    def max_replicas(self) -> int | None:
        """Maximum of the autoscaler; None without an autoscaler, or if its minimum is equal."""
        scaling = self.spec.autoscaling
        if scaling is None or self.spec.replicas == 0 or scaling.min_replicas == scaling.max_replicas:
            return None
        return scaling.max_replicas

    @property
    def scheme(self) -> str:
        """`https` if the pods have a certificate of their own."""
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
        """An object that the Leaderboard owns. `labels` are additional labels, `rest` is the content."""
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
        """An object for the Prometheus operator."""
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
