"""`Config`: the settings in force, read from every place, checked whole, with what follows from them."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tornado_app.config.files import read_secret
from tornado_app.config.settings import SETTINGS, Settings
from tornado_app.core.model import Owner
from tornado_app.core.policies import DEFAULT_ACTIONS, PROOF_LEEWAY, ClaimNames, ProofPolicy, WritePolicy
from tornado_app.runtime import cpu_quota


class Effective(NamedTuple):
    """A setting as it is in force: `value` is text with secrets masked, `source` where it comes from."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """The settings in force. Durations are seconds.

    `load_config` reads and validates them; `Config(...)` as such takes what it is given, for tests.
    """

    action_points: Mapping[str, int] = field(default_factory=lambda: DEFAULT_ACTIONS, hash=False)
    """Points by action type: what `actions_file` holds."""

    color: bool = True
    """Whether logs on a terminal may be coloured: false where the variable NO_COLOR is set (no-color.org)."""

    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Where each value that is no default comes from, by setting."""

    @property
    def embedded(self) -> bool:
        """Whether the service runs a MongoDB of its own."""
        return self.mongodb_uri is None and self.mongodb_uri_file is None

    @property
    def owner(self) -> Owner | None:
        """The installation that owns the database."""
        return None if self.database_owner is None else Owner.parse(self.database_owner)

    @property
    def process_count(self) -> int:
        """How many processes share the port."""
        if self.processes != "auto":
            return self.processes
        return cpu_quota.available() if platform.system() == "Linux" else 1

    @property
    def proof_policy(self) -> ProofPolicy:
        """Whether a player's own update needs an action proof: what is set, else what suits the database."""
        if self.action_proof is not None:
            return ProofPolicy(self.action_proof)
        return ProofPolicy.OPTIONAL if self.embedded else ProofPolicy.REQUIRED

    @property
    def made_key_path(self) -> Path:
        """Where the token key that is made for the embedded database lies."""
        return self.data_dir / "jwt.key"

    @property
    def made_proof_key_path(self) -> Path:
        """Where the key of action proofs that is made for the embedded database lies."""
        return self.data_dir / "proof.key"

    @property
    def write_policy(self) -> WritePolicy:
        """What the store enforces. An action's id is remembered for as long as a proof of it could be accepted."""
        return WritePolicy(
            limit=self.rate_limit,
            idempotency_history_size=self.rate_limit.idempotency_history_size(self.proof_lifetime + PROOF_LEEWAY),
            max_points=self.max_points_per_window,
        )

    @property
    def claim_names(self) -> ClaimNames:
        """Which claims of a token are read, and which scopes grant a power."""
        return ClaimNames(
            user=self.jwt_user_claim,
            names=self.jwt_name_claims,
            scopes=self.jwt_scope_claims,
            write_scopes=self.jwt_write_scopes,
            admin_scopes=self.jwt_admin_scopes,
            audiences=self.jwt_audience_claims,
        )

    def read_jwt_key(self) -> str | None:
        """The key that tokens are verified with, read anew from its file where it has one; None is none configured."""
        return self.jwt_key if self.jwt_key_file is None else read_secret(self.jwt_key_file, "jwt_key_file")

    def read_proof_key(self) -> str | None:
        """The key of action proofs, read anew from its file where it has one; None is none configured."""
        return self.proof_key if self.proof_key_file is None else read_secret(self.proof_key_file, "proof_key_file")

    def read_captcha_secret(self) -> str | None:
        """What `captcha_url` knows this service by, read anew from its file where it has one."""
        if self.captcha_secret_file is None:
            return self.captcha_secret
        return read_secret(self.captcha_secret_file, "captcha_secret_file").strip()

    def read_mongodb_uri(self) -> str | None:
        """The MongoDB to use, read anew from its file where it has one; None is the embedded one."""
        if self.mongodb_uri_file is None:
            return self.mongodb_uri
        return read_secret(self.mongodb_uri_file, "mongodb_uri_file").strip()

    def describe(self) -> Iterator[Effective]:
        """Each setting with its value, secrets masked, and where that comes from."""
        derived = {"action_proof": self.proof_policy}
        for each in SETTINGS:
            value = each.show(derived.get(each.name, getattr(self, each.name)))
            yield Effective(each.name, value, self.sources.get(each.name, "default"))
