"""The Deployment of the pods, their container and their ServiceAccount."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from leaderboard_operator import Object
from leaderboard_operator.resources.configmap import BOARDS, PRE_STOP_SECONDS, SETTINGS, boards_name, config_map
from leaderboard_operator.resources.secrets import TRUSTED_CA, secret_volume
from leaderboard_operator.resources.view import (
    BOARDS_DIR,
    CONFIG_DIR,
    HTTP_PORT,
    METRICS_PORT,
    SECRETS_DIR,
    LeaderboardView,
    without_unset,
)
from leaderboard_operator.spec.pod import PodSpec, Probe, Resources

CONTAINER = "leaderboard"

CA_VARIABLE = "SSL_CERT_FILE"

AUTOSCALED_CPU = "500m"
"""Default CPU request with autoscaling. With 100m, a target of 70 % is less than a pod needs to read the change stream
at 1,200 updates a second, which more pods do not reduce."""

STARTUP = {"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 60}
READINESS = {"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 6}
"""Fails after 30 s. An election in MongoDB takes 10 to 13 s, during which reads and sockets work from memory."""
LIVENESS = {"periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 3}

TEMPLATE_HASH = "leaderboard.dev/template-hash"
"""Annotation of the Deployment: the hash of its pod template."""

SPEC_HASH = "leaderboard.dev/spec-hash"
"""Annotation of the Deployment: the hash of the spec, which is independent of the version of the operator."""

SECRETS_HASH = "leaderboard.dev/secrets-hash"

_NOT_IN_SPEC_HASH = ("replicas", "boards", "update", "paused")
"""Fields of the spec that do not change the pods."""


def deployment(leaderboard: LeaderboardView) -> Object:
    rollout = leaderboard.spec.rollout
    bounds = {"maxUnavailable": rollout.max_unavailable, "maxSurge": rollout.max_surge}
    pods = leaderboard.kept or _new_pods(leaderboard)
    return leaderboard.object(
        "apps/v1",
        "Deployment",
        annotations=pods["annotations"],
        spec={
            "replicas": leaderboard.replicas,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": rollout.progress_deadline_seconds,
            "minReadySeconds": rollout.min_ready_seconds,
            "selector": {"matchLabels": leaderboard.selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": bounds},
            "template": pods["template"],
        },
    )


def service_account(leaderboard: LeaderboardView) -> Object | None:
    """A ServiceAccount without a token, unless the spec names another account. The pods do not use the API server."""
    if leaderboard.spec.template.spec.service_account_name:
        return None
    return leaderboard.object("v1", "ServiceAccount", automountServiceAccountToken=False)


def non_defaults(part: msgspec.Struct) -> Object:
    """The fields of a spec that differ from their defaults, so that a field of a newer operator changes no hash."""
    values = {}
    for field in msgspec.structs.fields(part):
        value = getattr(part, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if value != default and field.name not in _NOT_IN_SPEC_HASH:
            values[field.encode_name] = (
                non_defaults(value) if isinstance(value, msgspec.Struct) else msgspec.to_builtins(value)
            )
    return values


def digest(value: Object) -> str:
    """A short digest of an object, independent of the order of its members."""
    return sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]


def _new_pods(leaderboard: LeaderboardView) -> Object:
    """The pod template, and the annotations that show whether existing pods differ from it."""
    template = {"metadata": _metadata(leaderboard), "spec": _pod(leaderboard)}
    return {
        "template": template,
        "annotations": {TEMPLATE_HASH: digest(template), SPEC_HASH: digest(non_defaults(leaderboard.spec))},
    }


def _metadata(leaderboard: LeaderboardView) -> Object:
    metadata = leaderboard.spec.template.metadata
    return {
        "labels": {**metadata.labels, **leaderboard.labels},
        "annotations": {
            "kubectl.kubernetes.io/default-container": CONTAINER,
            **metadata.annotations,
            SECRETS_HASH: leaderboard.secrets_hash,
        },
    }


def _pod(leaderboard: LeaderboardView) -> Object:
    spec = leaderboard.spec.template.spec
    return {
        "serviceAccountName": spec.service_account_name or leaderboard.name,
        "automountServiceAccountToken": spec.automount_service_account_token,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.termination_grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            **spec.security_context,
        },
        "containers": [container(leaderboard), *spec.sidecars],
        "volumes": [
            {"name": "config", "configMap": {"name": config_map(leaderboard)["metadata"]["name"]}},
            {"name": "boards", "configMap": {"name": boards_name(leaderboard)}},
            secret_volume(leaderboard.spec),
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            *spec.volumes,
        ],
        **_pull_secrets(leaderboard),
        **_placement(leaderboard),
    }


def _pull_secrets(leaderboard: LeaderboardView) -> Object:
    secrets = [{"name": secret.name} for secret in leaderboard.spec.image_pull_secrets]
    return {"imagePullSecrets": secrets} if secrets else {}


def _placement(leaderboard: LeaderboardView) -> Object:
    spec: PodSpec = leaderboard.spec.template.spec
    fields: dict[str, Any] = {
        "initContainers": spec.init_containers,
        "runtimeClassName": spec.runtime_class_name,
        "schedulerName": spec.scheduler_name,
        "nodeSelector": spec.node_selector,
        "affinity": spec.affinity,
        "tolerations": [without_unset(toleration) for toleration in spec.tolerations],
        "topologySpreadConstraints": _spread(leaderboard),
        "priorityClassName": spec.priority_class_name,
    }
    return {name: value for name, value in fields.items() if value}


def _spread(leaderboard: LeaderboardView) -> list[Object]:
    """The spread constraints of the spec; by default one over nodes. The default selector is that of the pods."""
    over_nodes = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    constraints = leaderboard.spec.template.spec.topology_spread_constraints or [over_nodes]
    return [{"labelSelector": {"matchLabels": leaderboard.selector}, **constraint} for constraint in constraints]


def container(leaderboard: LeaderboardView) -> Object:
    spec = leaderboard.spec.template.spec
    pull = {"imagePullPolicy": spec.image_pull_policy} if spec.image_pull_policy else {}
    return {
        "name": CONTAINER,
        "image": leaderboard.image,
        **pull,
        "command": ["leaderboard", "serve"],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "env": _environment(leaderboard),
        **({"envFrom": spec.env_from} if spec.env_from else {}),
        "resources": msgspec.to_builtins(resources(leaderboard)),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            **spec.container_security_context,
        },
        **_probes(leaderboard),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",  # pods.py reads the last error from it
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "boards", "mountPath": BOARDS_DIR, "readOnly": True},
            {"name": "secrets", "mountPath": SECRETS_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
            *spec.volume_mounts,
        ],
    }


def resources(leaderboard: LeaderboardView) -> Resources:
    """Requests and limits of the spec, with defaults for unset ones."""
    spec = leaderboard.spec.template.spec.resources
    requests = {"cpu": AUTOSCALED_CPU if leaderboard.spec.autoscaling else "100m", "memory": "128Mi", **spec.requests}
    default_limit = {} if "memory" in spec.requests else {"memory": "512Mi"}  # it could be less than the request
    return Resources(requests=requests, limits={**default_limit, **spec.limits})


def _environment(leaderboard: LeaderboardView) -> list[Object]:
    """The spec's variables after the operator's own.

    These name the files, so that `kubectl exec … -- leaderboard audit` reads the same settings.
    OpenSSL reads `SSL_CERT_FILE`; a variable of that name in the spec replaces it.
    """
    spec = leaderboard.spec.template.spec.env
    variables = [
        {"name": "LEADERBOARD_CONFIG", "value": f"{CONFIG_DIR}/{SETTINGS}"},
        {"name": "LEADERBOARD_BOARDS_FILE", "value": f"{BOARDS_DIR}/{BOARDS}"},
    ]
    if leaderboard.spec.trusted_ca is not None and all(variable.name != CA_VARIABLE for variable in spec):
        variables.append({"name": CA_VARIABLE, "value": f"{SECRETS_DIR}/{TRUSTED_CA}"})
    return [*variables, *(without_unset(variable) for variable in spec)]


def _probes(leaderboard: LeaderboardView) -> Object:
    """Startup and liveness use the metrics port: it opens before the service reads the board, and accepts connections
    when sockets fill the clients' port. Readiness uses the clients' port."""
    spec = leaderboard.spec.template.spec
    clients = {"port": "http", **({"scheme": "HTTPS"} if leaderboard.scheme == "https" else {})}
    return {
        "startupProbe": _probe("/healthz", {"port": "metrics"}, STARTUP, spec.startup_probe),
        "readinessProbe": _probe("/readyz", clients, READINESS, spec.readiness_probe),
        "livenessProbe": _probe("/healthz", {"port": "metrics"}, LIVENESS, spec.liveness_probe),
    }


def _probe(path: str, port: Object, default: Object, spec: Probe | None) -> Object:
    return {"httpGet": {"path": path, **port}, **default, **(without_unset(spec) if spec else {})}
