"""LeaderboardViews for the pure tests: minimal, with all fields, and with a Gateway."""

from __future__ import annotations

from typing import Any

import msgspec

from leaderboard_operator.monitoring import Routing
from leaderboard_operator.resources import LeaderboardView
from leaderboard_operator.spec import Spec
from tests.support.leaderboards import spec

UID = "5d0c0f7c-6f0c-4c35-9d5f-8f2d4a1b7c11"

PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
"""

HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""The container security context that the restricted Pod Security Standard requires."""

FULL = spec(
    replicas=3,
    image="registry.example/leaderboard:1.2.0@sha256:" + "0" * 64,
    imagePullSecrets=[{"name": "pull"}],
    database={"connectionSecretRef": {"name": "mongo", "key": "connectionString.standardSrv"}, "name": "scores"},
    auth={"jwt": {"algorithm": "RS256", "jwksUrl": "https://id.example/jwks", "audience": "a", "issuer": "https://i/"}},
    boards={
        "main": {"bounds": {"max": 500}},
        "kart": {
            "rule": "Best",
            "order": "Ascending",
            "bounds": {"min": 15_000, "max": 3_600_000},
            "periods": {
                "weekly": {"cron": "0 0 * * MON", "timeZone": "Europe/Berlin", "review": "1h"},
                "event": {"every": "14d", "from": "2026-12-01T18:00", "keep": 2},
                "season": {},
            },
            "shows": "weekly",
        },
        "form": {"rule": "Last"},
    },
    actions={
        "proof": "Optional",
        "proofKeySecretRef": {"name": "proof", "key": "pem"},
        "proofAlgorithm": "ES256",
        "captcha": {"url": "https://captcha.example/siteverify", "secretRef": {"name": "captcha", "key": "secret"}},
        "points": {"level_complete": 50, "123": 5},
        "maxIncrement": 100,
    },
    rateLimit={"updates": 5, "window": "1m", "maxPointsPerWindow": 1000},
    live={"broadcastInterval": "250ms", "maxConnections": 5000, "allowedOrigins": ["https://*.play.example", "null"]},
    logging={"level": "warning", "access": True},
    settings={"max_connections_per_address": 500, "auto_register": True, "idle_timeout": "2m", "jwt_leeway": "10s"},
    autoscaling={
        "minReplicas": 2,
        "maxReplicas": 10,
        "metrics": [{"type": "CPU", "averageUtilization": 60}, {"type": "Sockets", "averageValue": 4000}],
    },
    exposure={
        "service": {
            "type": "LoadBalancer",
            "annotations": {"cloud.example/kind": "nlb"},
            "port": 80,
            "appProtocol": "kubernetes.io/ws",
            "externalTrafficPolicy": "Local",
            "loadBalancerClass": "cloud.example/nlb",
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "ipFamilyPolicy": "SingleStack",
        },
        "ingress": {
            "host": "scores.example",
            "className": "nginx",
            "tlsSecretName": "scores-tls",
            "annotations": {"a.example/b": "c"},
        },
        "trustedProxies": ["192.0.2.0/24"],
    },
    template={
        "metadata": {"labels": {"team": "games", "app.kubernetes.io/name": "no"}, "annotations": {"a.example/d": "e"}},
        "spec": {
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
            "env": [
                {"name": "OTEL_TRACES_EXPORTER", "value": "otlp"},
                {
                    "name": "OTEL_EXPORTER_OTLP_HEADERS",
                    "valueFrom": {"secretKeyRef": {"name": "collector", "key": "headers"}},
                },
                {"name": "COLLECTOR", "valueFrom": {"configMapKeyRef": {"name": "collector", "key": "address"}}},
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "terminationGracePeriodSeconds": 90,
            "startupProbe": {"failureThreshold": 150},
            "readinessProbe": {"failureThreshold": 2},
            "livenessProbe": {"periodSeconds": 20, "timeoutSeconds": 5},
            "envFrom": [{"configMapRef": {"name": "telemetry"}}],
            "volumes": [{"name": "tls", "secret": {"secretName": "internal-tls"}}],
            "volumeMounts": [{"name": "tls", "mountPath": "/etc/tls", "readOnly": True}],
            "initContainers": [{"name": "wait", "image": "wait:1", "securityContext": HARDENED}],
            "sidecars": [{"name": "proxy", "image": "proxy:1", "securityContext": HARDENED}],
            "securityContext": {"runAsUser": 10001, "fsGroup": 10001},
            "containerSecurityContext": {"runAsGroup": 10001},
            "serviceAccountName": "arcade-identity",
            "automountServiceAccountToken": True,
            "imagePullPolicy": "Always",
            "runtimeClassName": "gvisor",
            "schedulerName": "packing",
            "nodeSelector": {"disk": "ssd"},
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            "tolerations": [{"key": "games", "operator": "Exists", "effect": "NoSchedule"}],
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
            ],
            "priorityClassName": "high",
        },
    },
    trustedCA={"secretRef": {"name": "authorities", "key": "ca.crt"}},
    rollout={"maxSurge": "50%", "maxUnavailable": 1, "minReadySeconds": 10, "progressDeadlineSeconds": 900},
    disruption={"maxUnavailable": 2},
    networkPolicy={"allowFrom": [{"podSelector": {"matchLabels": {"app": "gateway"}}}]},
)

ROUTED = spec(
    actions={"proofJwksSecretRef": {"name": "arcade-proof", "key": "jwks"}},
    auth={"jwt": {"jwksSecretRef": {"name": "arcade-jwt", "key": "jwks"}}},
    exposure={
        "gateway": {
            "parentRefs": [{"name": "public", "namespace": "infra", "sectionName": "https"}],
            "hostnames": ["scores.example"],
            "annotations": {"gateway.example/a": "b"},
            "filters": [
                {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "A", "value": "b"}]}}
            ],
        }
    },
    autoscaling={"maxReplicas": 4, "metrics": [{"type": "Sockets", "averageValue": "4k", "api": "External"}]},
    settings={"tls_cert_file": "/etc/tls/tls.crt", "tls_key_file": "/etc/tls/tls.key"},
    trustedCA={"configMapRef": {"name": "authorities", "key": "bundle.pem"}},
)


def view(content: dict[str, Any] | None = None, **changes: Any) -> LeaderboardView:
    """A LeaderboardView with this spec, by default the minimal one."""
    defaults = {
        "namespace": "games",
        "name": "arcade",
        "uid": UID,
        "image": "leaderboard-app:1.2.0",
        "secrets_hash": "5e",
    }
    return LeaderboardView(**{**defaults, **changes}, spec=msgspec.convert(content or spec(), Spec))


ROUTING = Routing(
    runbooks="https://docs.example/runbooks",
    grafana="https://grafana.example/",
    severities={"page": "critical"},
    labels={"team": "games"},
)
OPERATOR_DEFAULTS = {"monitoring_labels": {"release": "prometheus"}, "routing": ROUTING}

VIEWS = {"minimal": view(), "full": view(FULL, image=FULL["image"], **OPERATOR_DEFAULTS), "routed": view(ROUTED)}
