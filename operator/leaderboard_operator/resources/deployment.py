"""The Deployment: pods that are never fewer than asked for, drain before they end, and may do nothing but serve."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from leaderboard_operator.resources.configmap import config_map
from leaderboard_operator.resources.container import CONTAINER, container
from leaderboard_operator.resources.names import Board, Object, present
from leaderboard_operator.resources.secrets import secret_volume
from leaderboard_operator.spec.runtime import PodSpec

TEMPLATE_HASH = "leaderboard.dev/template-hash"
"""Annotation of the Deployment: changes where its pods are to be replaced."""

ASKED_HASH = "leaderboard.dev/asked-hash"
"""Annotation of the Deployment: changes with what the spec asks of the pods, and not with the operator's version."""

_NOT_OF_PODS = ("replicas", "update", "paused")
"""Fields of the spec whose change is no reason to replace pods."""

SECRETS_HASH = "leaderboard.dev/secrets-hash"


def deployment(board: Board) -> Object:
    """The Deployment."""
    asked = board.spec.rollout
    bounds = {"maxUnavailable": asked.max_unavailable, "maxSurge": asked.max_surge}
    kept = board.kept or _fresh(board)
    return board.object(
        "apps/v1",
        "Deployment",
        annotations=kept["annotations"],
        spec={
            "replicas": board.replicas,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": asked.progress_deadline_seconds,
            "minReadySeconds": asked.min_ready_seconds,
            "selector": {"matchLabels": board.selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": bounds},
            "template": kept["template"],
        },
    )


def _fresh(board: Board) -> Object:
    """The template of the pods as they should be, and the annotations that tell whether those that are there differ."""
    template = {"metadata": _metadata(board), "spec": _pod(board)}
    return {
        "template": template,
        "annotations": {TEMPLATE_HASH: digest(template), ASKED_HASH: digest(non_defaults(board.spec))},
    }


def non_defaults(part: msgspec.Struct) -> Object:
    """The fields of a spec that are not on their default: a field that a newer operator adds changes nothing here."""
    found = {}
    for each in msgspec.structs.fields(part):
        value = getattr(part, each.name)
        default = each.default if each.default_factory is msgspec.NODEFAULT else each.default_factory()
        if value != default and each.name not in _NOT_OF_PODS:
            found[each.encode_name] = (
                non_defaults(value) if isinstance(value, msgspec.Struct) else msgspec.to_builtins(value)
            )
    return found


def digest(value: Object) -> str:
    """A short digest of an object, whatever the order of its members."""
    return sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]


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
    asked = board.spec.template.spec
    return {
        "serviceAccountName": asked.service_account_name or board.name,
        "automountServiceAccountToken": asked.automount_service_account_token,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": asked.termination_grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            **asked.security_context,
        },
        "containers": [container(board), *asked.sidecars],
        "volumes": [
            {"name": "config", "configMap": {"name": config_map(board)["metadata"]["name"]}},
            secret_volume(board.spec),
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            *asked.volumes,
        ],
        **_pull_secrets(board),
        **_placement(board),
    }


def _pull_secrets(board: Board) -> Object:
    found = [{"name": each.name} for each in board.spec.image_pull_secrets]
    return {"imagePullSecrets": found} if found else {}


def _placement(board: Board) -> Object:
    asked: PodSpec = board.spec.template.spec
    found: dict[str, Any] = {
        "initContainers": asked.init_containers,
        "runtimeClassName": asked.runtime_class_name,
        "schedulerName": asked.scheduler_name,
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
