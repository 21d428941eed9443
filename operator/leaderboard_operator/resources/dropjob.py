"""The Job that drops the database of a Leaderboard: in its namespace, with its image and its Secret, without a token.

It refers to nothing that Kubernetes deletes with the Leaderboard, and is not owned by it: a foreground deletion takes
the owned objects away first.
"""

from __future__ import annotations

from hashlib import sha256

from leaderboard_operator.resources.container import CA_VARIABLE
from leaderboard_operator.resources.deployment import deployment
from leaderboard_operator.resources.names import DROP_LABEL, MANAGED, NAME_LABEL, SECRETS_DIR, UID_LABEL, Board, Object
from leaderboard_operator.resources.secrets import MONGODB_URI, TRUSTED_CA, secret_volume

KEPT = 3
"""Exit code of `leaderboard database drop` where the database belongs to another installation. A test compares it."""

KEEP_SECONDS = 60
"""How long a finished Job stays; where it failed, this is the time until the next attempt."""

DEADLINE_SECONDS = 300
"""Longest attempt, from the creation of the Job."""

_OF_SERVING = ("ports", "env", "envFrom", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle")
_OF_BOARD = ("initContainers", "topologySpreadConstraints", "terminationGracePeriodSeconds")


def drop_labels(board: Board) -> dict[str, str]:
    """The labels of the Job and its pods; the selector of the Leaderboard's own pods does not match them."""
    return {
        "app.kubernetes.io/name": "leaderboard-drop",
        "app.kubernetes.io/instance": board.name,
        DROP_LABEL: board.name,
        UID_LABEL: board.uid,
        **MANAGED,
    }


def drop_job(board: Board) -> Object:
    """The Job."""
    labels = drop_labels(board)
    template = deployment(board)["spec"]["template"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{board.name}-drop-{sha256(board.uid.encode()).hexdigest()[:5]}",
            "namespace": board.namespace,
            "labels": labels,
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": KEEP_SECONDS,
            "template": {
                "metadata": {
                    "labels": {**_asked_labels(board), **labels},
                    "annotations": board.spec.template.metadata.annotations,
                },
                "spec": _pod(board, template["spec"]),
            },
        },
    }


def _asked_labels(board: Board) -> dict[str, str]:
    """The labels asked for the pods, without the one that Services select by."""
    return {name: value for name, value in board.spec.template.metadata.labels.items() if name != NAME_LABEL}


def _pod(board: Board, serving: Object) -> Object:
    """The pod of the Deployment without what only serving needs."""
    pod = {name: value for name, value in serving.items() if name not in _OF_BOARD}
    if pod.get("serviceAccountName") == board.name:
        del pod["serviceAccountName"]
    others = [each for each in serving["volumes"] if each.get("name") not in ("config", "secrets")]
    return {
        **pod,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "containers": [_container(board, serving["containers"][0])],  # the rest are sidecars, of any form
        "volumes": [_secrets(board), *others],
    }


def _secrets(board: Board) -> Object:
    """The volume of the pods without the keys that only serving needs: their Secrets may be gone already."""
    volume = secret_volume(board.spec)
    sources = [
        each
        for each in volume["projected"]["sources"]
        if any(item["path"] in (MONGODB_URI, TRUSTED_CA) for source in each.values() for item in source["items"])
    ]
    return {**volume, "projected": {**volume["projected"], "sources": sources}}


def _container(board: Board, serving: Object) -> Object:
    kept = {name: value for name, value in serving.items() if name not in _OF_SERVING}
    return {
        **kept,
        "command": ["leaderboard", "database", "drop"],
        "env": [
            {"name": "LEADERBOARD_MONGODB_URI_FILE", "value": f"{SECRETS_DIR}/{MONGODB_URI}"},
            {"name": "LEADERBOARD_MONGODB_DATABASE", "value": board.spec.database.name},
            {"name": "LEADERBOARD_DATABASE_OWNER", "value": board.owner},
            *(each for each in serving["env"] if each["name"] == CA_VARIABLE),
        ],
        "volumeMounts": [each for each in serving["volumeMounts"] if each.get("name") != "config"],
    }
