"""The CustomResourceDefinition, made from the types."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from leaderboard_operator import API_VERSION, GROUP, KIND, PLURAL
from leaderboard_operator.spec.kinds import Rule
from leaderboard_operator.spec.leaderboard import Spec, Status
from leaderboard_operator.spec.openapi import Schema, schema

LONGEST_NAME = 52
"""Characters of a Leaderboard's name: those of its children, which are longer, fit a label's 63."""

_NAME = Rule(
    f"self.metadata.name.size() <= {LONGEST_NAME} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    f"choose a name of at most {LONGEST_NAME} of a-z 0-9 -, which begins with a letter: a Service is named after it",
)


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition as an object."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": "leaderboard",
                "shortNames": ["lb"],
                "categories": ["all"],
            },
            "versions": [_version()],
        },
    }


def document() -> str:
    """The CustomResourceDefinition as YAML, as it is committed."""
    return "# Made by `leaderboard-operator crd`; a test holds it against the code.\n" + yaml.dump(
        crd(), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True
    )


class _Dumper(yaml.SafeDumper):
    """Repeats what occurs twice: anchors are a feature of YAML that not every tool reads."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _version() -> dict[str, Any]:
    return {
        "name": API_VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            _column("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
            _column("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason'),
            _column("Replicas", "integer", ".status.readyReplicas"),
            _column("Version", "string", ".status.version"),
            _column("URL", "string", ".status.url", priority=1),
            _column("Age", "date", ".metadata.creationTimestamp"),
        ],
    }


def _root() -> Schema:
    status = schema(Status)
    conditions = status["properties"]["conditions"]
    conditions |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return {
        "type": "object",
        "description": "A live leaderboard: a service in front of MongoDB.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema(Spec),
            "status": status,
        },
        "x-kubernetes-validations": [msgspec.to_builtins(_NAME)],
    }


def _column(name: str, kind: str, path: str, **more: int) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path, **more}
