"""The Job that drops the database of a Leaderboard: in its namespace, with its image and its Secret, without a token.

The Leaderboard does not own the Job, and the Job refers to no owned object: a foreground deletion deletes these first.
"""

from __future__ import annotations

from hashlib import sha256

from leaderboard_operator import Object
from leaderboard_operator.resources.deployment import CA_VARIABLE, deployment
from leaderboard_operator.resources.secrets import MONGODB_URI, TRUSTED_CA, secret_volume
from leaderboard_operator.resources.view import DROP_LABEL, MANAGED, NAME_LABEL, SECRETS_DIR, UID_LABEL, LeaderboardView

DATABASE_KEPT = 3
"""Exit code of `leaderboard database drop` if the database has another owner. A test compares it with the command."""

FINISHED_SECONDS = 60
"""Time until a finished Job is deleted. After a failure it is the time until the next attempt."""

DEADLINE_SECONDS = 300
"""Maximum duration of a Job."""

_SERVING_FIELDS = ("ports", "env", "envFrom", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle")
_SERVING_VOLUMES = ("config", "boards")
_DEPLOYMENT_FIELDS = ("initContainers", "topologySpreadConstraints", "terminationGracePeriodSeconds")


def drop_labels(leaderboard: LeaderboardView) -> dict[str, str]:
    """The labels of the Job and its pods; the selector of the Leaderboard's own pods does not match them."""
    return {
        "app.kubernetes.io/name": "leaderboard-drop",
        "app.kubernetes.io/instance": leaderboard.name,
        DROP_LABEL: leaderboard.name,
        UID_LABEL: leaderboard.uid,
        **MANAGED,
    }


def drop_job(leaderboard: LeaderboardView) -> Object:
    labels = drop_labels(leaderboard)
    template = deployment(leaderboard)["spec"]["template"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{leaderboard.name}-drop-{sha256(leaderboard.uid.encode()).hexdigest()[:5]}",
            "namespace": leaderboard.namespace,
            "labels": labels,
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": FINISHED_SECONDS,
            "template": {
                "metadata": {
                    "labels": {**_pod_labels(leaderboard), **labels},
                    "annotations": leaderboard.spec.template.metadata.annotations,
                },
                "spec": _pod(leaderboard, template["spec"]),
            },
        },
    }


def _pod_labels(leaderboard: LeaderboardView) -> dict[str, str]:
    """The pod labels of the spec, without the one that Services select by."""
    return {name: value for name, value in leaderboard.spec.template.metadata.labels.items() if name != NAME_LABEL}


def _pod(leaderboard: LeaderboardView, serving: Object) -> Object:
    """The pod of the Deployment without the parts that only the service needs."""
    pod = {name: value for name, value in serving.items() if name not in _DEPLOYMENT_FIELDS}
    if pod.get("serviceAccountName") == leaderboard.name:
        del pod["serviceAccountName"]
    others = [volume for volume in serving["volumes"] if volume.get("name") not in (*_SERVING_VOLUMES, "secrets")]
    return {
        **pod,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "containers": [_container(leaderboard, serving["containers"][0])],  # the others are sidecars
        "volumes": [_secrets(leaderboard), *others],
    }


def _secrets(leaderboard: LeaderboardView) -> Object:
    """The volume with the keys that the drop needs. The Secrets of the other keys may be deleted already."""
    volume = secret_volume(leaderboard.spec)
    sources = [
        source
        for source in volume["projected"]["sources"]
        if any(item["path"] in (MONGODB_URI, TRUSTED_CA) for content in source.values() for item in content["items"])
    ]
    return {**volume, "projected": {**volume["projected"], "sources": sources}}


def _container(leaderboard: LeaderboardView, serving: Object) -> Object:
    fields = {name: value for name, value in serving.items() if name not in _SERVING_FIELDS}
    return {
        **fields,
        "command": ["leaderboard", "database", "drop"],
        "env": [
            {"name": "LEADERBOARD_MONGODB_URI_FILE", "value": f"{SECRETS_DIR}/{MONGODB_URI}"},
            {"name": "LEADERBOARD_MONGODB_DATABASE", "value": leaderboard.spec.database.name},
            {"name": "LEADERBOARD_DATABASE_OWNER", "value": leaderboard.owner},
            *(variable for variable in serving["env"] if variable["name"] == CA_VARIABLE),
        ],
        "volumeMounts": [mount for mount in serving["volumeMounts"] if mount.get("name") not in _SERVING_VOLUMES],
    }
