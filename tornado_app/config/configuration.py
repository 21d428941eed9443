"""`Config`: the effective settings, and the values that are derived from them."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tornado_app.config.files import read_secret
from tornado_app.config.settings import SETTINGS, Settings
from tornado_app.core.boards import MAIN, Board
from tornado_app.core.model import Owner
from tornado_app.core.policies import (
    DEFAULT_ACTIONS,
    PROOF_LEEWAY,
    ClaimNames,
    KeySettings,
    ProofPolicy,
    WritePolicy,
    history_retention,
)
from tornado_app.runtime import cpu_quota


class Effective(NamedTuple):
    """An effective setting, with secrets masked.

    `text` is its value for a person, `value` and `default` are as in the settings file. `source`: where the value comes
    from. `changed`: whether it was set to another value than its default.
    """

    name: str
    text: str
    value: Any
    default: Any
    source: str
    changed: bool


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """The effective settings. Durations are in seconds.

    `load_config` loads and validates them; `Config(...)` itself validates nothing.
    """

    action_points: Mapping[str, int] = field(default_factory=lambda: DEFAULT_ACTIONS, hash=False)
    """Points by action type: the contents of `actions_file`."""

    boards: tuple[Board, ...] = (MAIN,)
    """The contents of `boards_file`."""

    color: bool = True
    """Whether logs on a terminal may have colours: false if the variable NO_COLOR is set (no-color.org)."""

    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """The source of each value that is not a default, by setting."""

    @property
    def embedded(self) -> bool:
        """Whether the service starts the embedded MongoDB."""
        return self.mongodb_uri is None and self.mongodb_uri_file is None

    @property
    def owner(self) -> Owner | None:
        """The installation that owns the database."""
        return None if self.database_owner is None else Owner.parse(self.database_owner)

    @property
    def process_count(self) -> int:
        """Number of processes that share the port."""
        if self.processes != "auto":
            return self.processes
        return cpu_quota.available_cpus() if platform.system() == "Linux" else 1

    @property
    def proof_policy(self) -> ProofPolicy:
        """`action_proof`, or its default for this database."""
        if self.action_proof is not None:
            return ProofPolicy(self.action_proof)
        return ProofPolicy.OPTIONAL if self.embedded else ProofPolicy.REQUIRED

    @property
    def token_keys(self) -> KeySettings:
        """The settings of token keys, unless they are at `jwt_jwks_url`."""
        generated = self.data_dir / "jwt.key"
        return KeySettings(self.jwt_key, self.jwt_key_file, self.jwt_jwks_file, self.jwt_algorithm, generated)

    @property
    def proof_keys(self) -> KeySettings:
        """The settings of proof keys."""
        generated = self.data_dir / "proof.key"
        return KeySettings(self.proof_key, self.proof_key_file, self.proof_jwks_file, self.proof_algorithm, generated)

    @property
    def write_policy(self) -> WritePolicy:
        """The policy that the store enforces. An action's id is remembered for longer than a proof of it is
        accepted."""
        return WritePolicy(
            limit=self.rate_limit,
            history_retention=history_retention(self.rate_limit, self.proof_lifetime + PROOF_LEEWAY),
            max_points=self.max_points_per_window,
        )

    @property
    def claim_names(self) -> ClaimNames:
        """The names of claims and scopes in tokens."""
        return ClaimNames(
            user=self.jwt_user_claim,
            names=self.jwt_name_claims,
            scopes=self.jwt_scope_claims,
            write_scopes=self.jwt_write_scopes,
            admin_scopes=self.jwt_admin_scopes,
            audiences=self.jwt_audience_claims,
        )

    def read_captcha_secret(self) -> str | None:
        """The secret for `captcha_url`, read from its file if it has one."""
        if self.captcha_secret_file is None:
            return self.captcha_secret
        return read_secret(self.captcha_secret_file, "captcha_secret_file").strip()

    def read_mongodb_uri(self) -> str | None:
        """The MongoDB connection string, read from its file if it has one; None is the embedded database."""
        if self.mongodb_uri_file is None:
            return self.mongodb_uri
        return read_secret(self.mongodb_uri_file, "mongodb_uri_file").strip()

    def describe(self) -> Iterator[Effective]:
        """Each effective setting."""
        derived = {"action_proof": self.proof_policy}
        for each in SETTINGS:
            value = derived.get(each.name, getattr(self, each.name))
            yield Effective(
                each.name,
                each.format(value),
                each.to_json(value),
                each.to_json(each.default),
                self.sources.get(each.name, "default"),
                each.name in self.sources and value != each.default,
            )
