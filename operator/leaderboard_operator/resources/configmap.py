"""The settings of the service as a file. The ConfigMap is named by its content, so that a change is a rollout."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec
import yaml

from leaderboard_operator.resources.names import CONFIG_DIR, HTTP_PORT, METRICS_PORT, SECRETS_DIR, Board, Object
from leaderboard_operator.resources.secrets import (
    CAPTCHA_SECRET,
    JWKS,
    JWT_KEY,
    MONGODB_URI,
    PROOF_JWKS,
    PROOF_KEY,
)
from leaderboard_operator.spec import Spec

SETTINGS, ACTIONS = "settings.yaml", "actions.yaml"

PRE_STOP_SECONDS = 5
"""Until load balancers have heard that a pod goes; it serves on meanwhile."""

_ENDING_SECONDS = 15
"""For what comes after the drain: the service ends by itself within some 2 s of it, on a busy machine later."""

PRIVATE_NETWORKS = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
"""Where the pods of an Ingress controller or a Gateway are (RFC 1918, 6598, 4193)."""


def config_map(board: Board) -> Object:
    """The ConfigMap."""
    data = {SETTINGS: _yaml({**settings(board.spec), "database_owner": board.owner})}
    if board.spec.actions.points:
        data[ACTIONS] = _yaml(board.spec.actions.points)
    digest = sha256("\0".join(f"{name}\0{text}" for name, text in data.items()).encode()).hexdigest()[:10]
    return board.object("v1", "ConfigMap", name=f"{board.name}-{digest}", data=data, immutable=True)


def settings(spec: Spec) -> dict[str, Any]:
    """The settings of docs/settings.md. Fields of the spec win over `spec.settings`, and that over our defaults."""
    return {**_address_limits(spec), **spec.settings, **_fields(spec)}


def _fields(spec: Spec) -> dict[str, Any]:
    """What the fields of the spec say; settings that stand on the service's default are left out."""
    limit, live = spec.rate_limit, spec.live
    found: dict[str, Any] = {
        "host": "::",
        "port": HTTP_PORT,
        "metrics_port": METRICS_PORT,
        "mongodb_uri_file": f"{SECRETS_DIR}/{MONGODB_URI}",
        "mongodb_database": spec.database.name,
        "database_previous_owner": spec.database.take_over_from,
        **_jwt(spec),
        **_proofs(spec),
        "rate_limit": f"{limit.updates}/{limit.window}",
        "max_points_per_window": limit.max_points_per_window,
        "max_increment": spec.actions.max_increment,
        "actions_file": f"{CONFIG_DIR}/{ACTIONS}" if spec.actions.points else None,
        "broadcast_interval": live.broadcast_interval,
        "max_connections": live.max_connections,
        "allowed_origins": live.allowed_origins,
        "trusted_proxies": trusted_proxies(spec),
        "drain_timeout": f"{spec.template.spec.termination_grace_period_seconds - PRE_STOP_SECONDS - _ENDING_SECONDS}s",
        "log_format": "json",
        "log_level": spec.logging.level if spec.logging.level != "info" else None,
        "access_log": spec.logging.access or None,
    }
    return {name: value for name, value in found.items() if value not in (None, [])}


def _jwt(spec: Spec) -> dict[str, Any]:
    jwt = spec.auth.jwt
    return {
        "jwt_key_file": f"{SECRETS_DIR}/{JWT_KEY}" if jwt.secret_ref else None,
        "jwt_jwks_url": jwt.jwks_url,
        "jwt_jwks_file": f"{SECRETS_DIR}/{JWKS}" if jwt.jwks_secret_ref else None,
        "jwt_algorithm": jwt.algorithm if jwt.secret_ref else None,  # a JWK Set says it for each key
        "jwt_audience": jwt.audience,
        "jwt_issuer": jwt.issuer,
    }


def _proofs(spec: Spec) -> dict[str, Any]:
    actions = spec.actions
    return {
        "action_proof": actions.proof.lower(),
        "proof_key_file": f"{SECRETS_DIR}/{PROOF_KEY}" if actions.proof_key_secret_ref else None,
        "proof_jwks_file": f"{SECRETS_DIR}/{PROOF_JWKS}" if actions.proof_jwks_secret_ref else None,
        "proof_algorithm": actions.proof_algorithm if actions.proof_key_secret_ref else None,
        "captcha_url": actions.captcha.url if actions.captcha else None,
        "captcha_secret_file": f"{SECRETS_DIR}/{CAPTCHA_SECRET}" if actions.captcha else None,
    }


def _address_limits(spec: Spec) -> dict[str, Any]:
    """No limit for one address where all clients may share one: their own addresses are not known to the service."""
    if knows_addresses(spec):
        return {}
    return {"max_connections_per_address": spec.live.max_connections, "auth_failure_limit": "1000000/60s"}


def knows_addresses(spec: Spec) -> bool:
    """Whether the address that a connection comes from, or that a trusted proxy names, is the client's own."""
    service = spec.exposure.service
    kept = service.type != "ClusterIP" and service.external_traffic_policy == "Local"
    return bool(trusted_proxies(spec)) or kept


def trusted_proxies(spec: Spec) -> list[str]:
    """Networks of the proxies in front: those asked for, else those that an Ingress or a Gateway may be in."""
    exposure = spec.exposure
    if exposure.trusted_proxies is not None:
        return exposure.trusted_proxies
    return PRIVATE_NETWORKS if exposure.ingress or exposure.gateway else []


def _yaml(values: dict[str, Any]) -> str:
    return _dumped(msgspec.json.encode(values))


@lru_cache(maxsize=1024)
def _dumped(values: bytes) -> str:
    """JSON as YAML for people. PyYAML takes ten milliseconds for it, and each look at a Leaderboard needs it."""
    return yaml.safe_dump(msgspec.json.decode(values), sort_keys=True)
