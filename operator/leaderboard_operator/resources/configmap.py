"""The settings of the service and its boards, as files.

The name of the ConfigMap of the settings contains a hash: a change starts a rollout. The name of that of the boards
does not: the running pods read a change.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec
import yaml

from leaderboard_operator import Object
from leaderboard_operator.resources.secrets import (
    CAPTCHA_SECRET,
    JWKS,
    JWT_KEY,
    MONGODB_URI,
    PROOF_JWKS,
    PROOF_KEY,
)
from leaderboard_operator.resources.view import (
    CONFIG_DIR,
    HTTP_PORT,
    METRICS_PORT,
    SECRETS_DIR,
    LeaderboardView,
    without_unset,
)
from leaderboard_operator.spec import Spec
from leaderboard_operator.spec.application import Board

SETTINGS, ACTIONS, BOARDS = "settings.yaml", "actions.yaml", "boards.yaml"

PRE_STOP_SECONDS = 5
"""Time in which load balancers notice that a pod terminates. It serves during that time."""

_EXIT_SECONDS = 15
"""Time between the end of the drain and the kill. The service needs about 2 s of it, more on a busy machine."""

PRIVATE_NETWORKS = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
"""Networks of the pods of Ingress controllers and Gateways (RFC 1918, 6598, 4193)."""


def config_map(leaderboard: LeaderboardView) -> Object:
    data = {SETTINGS: _yaml({**settings(leaderboard.spec), "database_owner": leaderboard.owner})}
    if leaderboard.spec.actions.points:
        data[ACTIONS] = _yaml(leaderboard.spec.actions.points)
    digest = sha256("\0".join(f"{name}\0{text}" for name, text in data.items()).encode()).hexdigest()[:10]
    return leaderboard.object("v1", "ConfigMap", name=f"{leaderboard.name}-{digest}", data=data, immutable=True)


def boards_name(leaderboard: LeaderboardView) -> str:
    return f"{leaderboard.name}-boards"


def boards(leaderboard: LeaderboardView) -> Object:
    """The file of boards (docs/boards.md). It exists without boards too, so that the first one replaces no pods."""
    rows = {name: _board(board) for name, board in leaderboard.spec.boards.items()}
    data = {BOARDS: _yaml({"boards": rows})}
    return leaderboard.object("v1", "ConfigMap", name=boards_name(leaderboard), data=data)


def _board(board: Board) -> Object:
    bounds = {"bounds": without_unset(board.bounds)} if board.bounds else {}
    periods = {name: without_unset(period) for name, period in board.periods.items()}
    return {
        "rule": board.rule.lower(),
        "order": board.order.lower(),
        **bounds,
        **({"periods": periods} if periods else {}),
        **({"shows": board.shows} if board.shows else {}),
    }


def settings(spec: Spec) -> dict[str, Any]:
    """The settings (docs/settings.md). Fields of the spec override `spec.settings`, which override defaults."""
    return {**_address_limits(spec), **spec.settings, **_fields(spec)}


def _fields(spec: Spec) -> dict[str, Any]:
    """The settings that fields of the spec set, without those that have the service's default."""
    limit, live = spec.rate_limit, spec.live
    values: dict[str, Any] = {
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
        "drain_timeout": f"{spec.template.spec.termination_grace_period_seconds - PRE_STOP_SECONDS - _EXIT_SECONDS}s",
        "log_format": "json",
        "log_level": spec.logging.level if spec.logging.level != "info" else None,
        "access_log": spec.logging.access or None,
    }
    return {name: value for name, value in values.items() if value not in (None, [])}


def _jwt(spec: Spec) -> dict[str, Any]:
    jwt = spec.auth.jwt
    return {
        "jwt_key_file": f"{SECRETS_DIR}/{JWT_KEY}" if jwt.secret_ref else None,
        "jwt_jwks_url": jwt.jwks_url,
        "jwt_jwks_file": f"{SECRETS_DIR}/{JWKS}" if jwt.jwks_secret_ref else None,
        "jwt_algorithm": jwt.algorithm if jwt.secret_ref else None,  # the keys of a JWK Set name theirs
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
    """Turns the limits per address off if all clients may share one address."""
    if sees_client_addresses(spec):
        return {}
    return {"max_connections_per_address": spec.live.max_connections, "auth_failure_limit": "1000000/60s"}


def sees_client_addresses(spec: Spec) -> bool:
    """Whether the service sees the client's own address, from the connection or from a trusted proxy."""
    service = spec.exposure.service
    preserved = service.type != "ClusterIP" and service.external_traffic_policy == "Local"
    return bool(trusted_proxies(spec)) or preserved


def trusted_proxies(spec: Spec) -> list[str]:
    """Networks of trusted proxies. If unset, those that the pods of an Ingress or a Gateway may be in."""
    exposure = spec.exposure
    if exposure.trusted_proxies is not None:
        return exposure.trusted_proxies
    return PRIVATE_NETWORKS if exposure.ingress or exposure.gateway else []


def _yaml(values: dict[str, Any]) -> str:
    return _json_to_yaml(msgspec.json.encode(values))


@lru_cache(maxsize=1024)
def _json_to_yaml(values: bytes) -> str:
    """Cached, because PyYAML takes ten milliseconds and each reconcile needs it."""
    return yaml.safe_dump(msgspec.json.decode(values), sort_keys=True)
