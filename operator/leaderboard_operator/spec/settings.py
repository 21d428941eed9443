"""`spec.settings`: the settings of the service without a field of their own.

`python -m tornado_app.config schema` writes settings.json, because the operator does not import the service. A test
checks that it is up to date.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from leaderboard_operator.spec.types import Rule, field, within

Schema = dict[str, Any]

SERVICE: dict[str, Schema] = json.loads(files(__package__).joinpath("settings.json").read_text(encoding="utf-8"))
"""The settings of the service: JSON Schema by name."""

FIELDS = {
    "mongodb_uri_file": "database.connectionSecretRef",
    "mongodb_database": "database.name",
    "database_previous_owner": "database.takeOverFrom",
    "jwt_key_file": "auth.jwt.secretRef",
    "jwt_jwks_url": "auth.jwt.jwksUrl",
    "jwt_jwks_file": "auth.jwt.jwksSecretRef",
    "jwt_algorithm": "auth.jwt.algorithm",
    "jwt_audience": "auth.jwt.audience",
    "jwt_issuer": "auth.jwt.issuer",
    "action_proof": "actions.proof",
    "proof_key_file": "actions.proofKeySecretRef",
    "proof_jwks_file": "actions.proofJwksSecretRef",
    "proof_algorithm": "actions.proofAlgorithm",
    "actions_file": "actions.points",
    "boards_file": "boards",
    "max_increment": "actions.maxIncrement",
    "captcha_url": "actions.captcha.url",
    "captcha_secret_file": "actions.captcha.secretRef",
    "rate_limit": "rateLimit",
    "max_points_per_window": "rateLimit.maxPointsPerWindow",
    "broadcast_interval": "live.broadcastInterval",
    "max_connections": "live.maxConnections",
    "allowed_origins": "live.allowedOrigins",
    "trusted_proxies": "exposure.trustedProxies",
    "log_level": "logging.level",
    "access_log": "logging.access",
    "drain_timeout": "template.spec.terminationGracePeriodSeconds",
}
"""Settings with a field of their own, and the path of that field."""

MANAGED = ("database_owner", "host", "port", "metrics_host", "metrics_port", "data_dir", "log_format")
"""Settings that only the operator sets."""


def schema() -> Schema:
    """The schema of `spec.settings`, with rules that refuse settings with a field, managed settings and secrets."""
    return {
        "properties": {name: _property(setting) for name, setting in SERVICE.items()},
        "x-kubernetes-validations": [msgspec.to_builtins(rule) for rule in _rules()],
    }


def _rules() -> list[Rule]:
    own = (Rule(f"!has(self.{name})", f"{name} has its own field; set spec.{path}") for name, path in FIELDS.items())
    managed = (Rule(f"!has(self.{name})", f"the operator sets {name}; leave it out") for name in MANAGED)
    secret = (
        Rule(f"!has(self.{name})", f"{name} is secret; store it in a Secret and refer to it in the spec")
        for name, setting in SERVICE.items()
        if setting.get("secret")
    )
    return [*own, *managed, *secret]


def _property(setting: Schema) -> Schema:
    """The schema of a setting in the form of a CRD."""
    property_ = {name: value for name, value in setting.items() if name not in ("secret", "from", "to")}
    if isinstance(property_["type"], list):
        del property_["type"]
        property_["x-kubernetes-int-or-string"] = True
    if property_.get("type") == "integer":
        property_["format"] = "int64"
    if "from" in setting:
        property_ |= within(setting["from"], setting["to"]).extra_json_schema or {}
    return property_


Settings = Annotated[
    dict[str, Any],
    field(
        "Settings of the service without a field of their own, with the names and values of its settings file. "
        "docs/settings.md lists all settings."
    ),
    Meta(extra_json_schema=schema()),
]
