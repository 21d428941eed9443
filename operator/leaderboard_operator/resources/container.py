"""The container of the service: it drains before it ends, and may do nothing but serve."""

from __future__ import annotations

import msgspec

from leaderboard_operator.resources.configmap import PRE_STOP_SECONDS, SETTINGS
from leaderboard_operator.resources.names import (
    CONFIG_DIR,
    HTTP_PORT,
    METRICS_PORT,
    SECRETS_DIR,
    Board,
    Object,
    present,
)
from leaderboard_operator.resources.secrets import TRUSTED_CA
from leaderboard_operator.spec.runtime import Probe, Resources

CONTAINER = "leaderboard"

CA_VARIABLE = "SSL_CERT_FILE"

SCALED_CPU = "500m"
"""CPU request of a pod that is scaled by percents of it. 70 % of 100m would be less than following the feed costs at
1,200 updates a second, which more pods do not make less."""

STARTUP = {"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 60}
READINESS = {"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 6}
"""Shut after 30 s: an election takes MongoDB 10 to 13 s, in which reads and sockets go on from memory."""
LIVENESS = {"periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 3}


def container(board: Board) -> Object:
    """The container."""
    asked = board.spec.template.spec
    pull = {"imagePullPolicy": asked.image_pull_policy} if asked.image_pull_policy else {}
    return {
        "name": CONTAINER,
        "image": board.image,
        **pull,
        "command": ["leaderboard", "serve"],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "env": _environment(board),
        **({"envFrom": asked.env_from} if asked.env_from else {}),
        "resources": msgspec.to_builtins(resources(board)),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            **asked.container_security_context,
        },
        **_probes(board),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the error that it ended with: status.py reads it
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "secrets", "mountPath": SECRETS_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
            *asked.volume_mounts,
        ],
    }


def resources(board: Board) -> Resources:
    """Requests and limits as asked for, with defaults for what is left out."""
    asked = board.spec.template.spec.resources
    requests = {"cpu": SCALED_CPU if board.spec.autoscaling else "100m", "memory": "128Mi", **asked.requests}
    free = "memory" in asked.requests  # the default limit could be less than the request
    limits = {**({} if free else {"memory": "512Mi"}), **asked.limits}
    return Resources(requests=requests, limits=limits)


def _environment(board: Board) -> list[Object]:
    """One variable names the settings file, so that `kubectl exec … -- leaderboard audit` reads the same settings.

    The other is OpenSSL's own, for certificates beside those of the image's folder; one that is asked for wins.
    """
    asked = board.spec.template.spec.env
    found = [{"name": "LEADERBOARD_CONFIG", "value": f"{CONFIG_DIR}/{SETTINGS}"}]
    if board.spec.trusted_ca is not None and all(each.name != CA_VARIABLE for each in asked):
        found.append({"name": CA_VARIABLE, "value": f"{SECRETS_DIR}/{TRUSTED_CA}"})
    return [*found, *(present(each) for each in asked)]


def _probes(board: Board) -> Object:
    """Startup and liveness ask the metrics port: it opens first, while an index is built or the board is read, and it
    has room when sockets fill the port of clients. Readiness asks the port of clients."""
    asked = board.spec.template.spec
    clients = {"port": "http", **({"scheme": "HTTPS"} if board.scheme == "https" else {})}
    return {
        "startupProbe": _probe("/healthz", {"port": "metrics"}, STARTUP, asked.startup_probe),
        "readinessProbe": _probe("/readyz", clients, READINESS, asked.readiness_probe),
        "livenessProbe": _probe("/healthz", {"port": "metrics"}, LIVENESS, asked.liveness_probe),
    }


def _probe(path: str, port: Object, default: Object, asked: Probe | None) -> Object:
    return {"httpGet": {"path": path, **port}, **default, **(present(asked) if asked else {})}
