"""The Deployment: pods that are never fewer than asked for, drain before they end, and may do nothing but serve."""

from __future__ import annotations

from typing import Any

import msgspec

from leaderboard_operator.resources.configmap import PRE_STOP_SECONDS, SETTINGS, config_map
from leaderboard_operator.resources.names import (
    CONFIG_DIR,
    HTTP_PORT,
    METRICS_PORT,
    SECRETS_DIR,
    Board,
    Object,
    present,
)
from leaderboard_operator.resources.secrets import secret_volume
from leaderboard_operator.spec.runtime import PodSpec

SECRETS_HASH = "leaderboard.dev/secrets-hash"

CONTAINER = "leaderboard"


def deployment(board: Board) -> Object:
    """The Deployment."""
    return board.object(
        "apps/v1",
        "Deployment",
        spec={
            "replicas": board.replicas,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 300,
            "selector": {"matchLabels": board.selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": _metadata(board), "spec": _pod(board)},
        },
    )


def _metadata(board: Board) -> Object:
    asked = board.spec.template.metadata
    return {
        "labels": {**asked.labels, **board.labels},
        "annotations": {
            "kubectl.kubernetes.io/default-container": CONTAINER,
            **asked.annotations,
            SECRETS_HASH: board.secrets_hash,
        },
    }


def _pod(board: Board) -> Object:
    return {
        "serviceAccountName": board.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": board.spec.template.spec.termination_grace_period_seconds,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(board)],
        "volumes": [
            {"name": "config", "configMap": {"name": config_map(board)["metadata"]["name"]}},
            secret_volume(board.spec),
            {"name": "tmp", "emptyDir": {}},
        ],
        **_pull_secrets(board),
        **_placement(board),
    }


def _container(board: Board) -> Object:
    return {
        "name": CONTAINER,
        "image": board.image,
        "command": ["leaderboard", "serve"],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "env": _environment(board),
        "resources": msgspec.to_builtins(board.spec.template.spec.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "startupProbe": _probe("/healthz", periodSeconds=2, failureThreshold=60),
        "readinessProbe": _probe("/readyz", periodSeconds=5, failureThreshold=2),
        "livenessProbe": _probe("/healthz", periodSeconds=10, failureThreshold=3),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the error that it ended with: status.py reads it
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "secrets", "mountPath": SECRETS_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        ],
    }


def _environment(board: Board) -> list[Object]:
    """A variable names the settings file, so that `kubectl exec … -- leaderboard audit` reads the same settings."""
    settings = {"name": "LEADERBOARD_CONFIG", "value": f"{CONFIG_DIR}/{SETTINGS}"}
    return [settings, *(present(each) for each in board.spec.template.spec.env)]


def _probe(path: str, **timing: int) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 3, **timing}


def _pull_secrets(board: Board) -> Object:
    found = [{"name": each.name} for each in board.spec.image_pull_secrets]
    return {"imagePullSecrets": found} if found else {}


def _placement(board: Board) -> Object:
    asked: PodSpec = board.spec.template.spec
    found: dict[str, Any] = {
        "nodeSelector": asked.node_selector,
        "affinity": asked.affinity,
        "tolerations": [present(each) for each in asked.tolerations],
        "topologySpreadConstraints": _spread(board),
        "priorityClassName": asked.priority_class_name,
    }
    return {name: value for name, value in found.items() if value}


def _spread(board: Board) -> list[Object]:
    """The constraints asked for, else one over nodes; a constraint without a selector is about our pods."""
    over_nodes = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    asked = board.spec.template.spec.topology_spread_constraints or [over_nodes]
    return [{"labelSelector": {"matchLabels": board.selector}, **each} for each in asked]
