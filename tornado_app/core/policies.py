"""The policies of a submission, as values: rate limit, idempotency history, action proofs, names of claims."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import msgspec

from tornado_app.core.model import Scope

MAX_IDEMPOTENCY_HISTORY = 2000
"""Maximum idempotency history size that settings may result in: at about 150 bytes an action, far below MongoDB's limit
of 16 MiB for a document."""

MAX_HISTORY_ENTRIES = 2 * MAX_IDEMPOTENCY_HISTORY
"""Entries of a player's history, of all kinds; past that the oldest are removed, whatever their age."""

DEFAULT_ACTIONS: Mapping[str, int] = MappingProxyType({"level_complete": 50, "enemy_defeated": 5, "daily_login": 1})
"""Points by action type, where no table is configured."""


PROOF_LEEWAY = 5.0
"""Seconds that a game server's clock may be ahead of this one: a proof can be accepted that long before its `iat`."""


class ProofPolicy(StrEnum):
    """Whether a player's own update needs an action proof; a game server's own never does.

    REQUIRED: always. OPTIONAL: a proof counts, and without one `max_increment` applies. OFF: proofs are not read.
    """

    REQUIRED = "required"
    OPTIONAL = "optional"
    OFF = "off"


MAX_CLOCK_SKEW = 30.0
"""Seconds by which the clocks of the service's processes may differ, before an id is forgotten too early."""


class RateLimit(msgspec.Struct, frozen=True):
    """At most `updates` accepted updates for each player in any `window` (seconds, sliding)."""

    updates: int = 10
    window: float = 60.0

    @property
    def window_ms(self) -> int:
        """The window in milliseconds."""
        return round(self.window * 1000)

    def idempotency_history_size(self, lifetime: float) -> int:
        """Maximum number of actions that a document remembers, so that none younger than `lifetime` seconds is
        forgotten."""
        return self.updates * self.windows(lifetime)

    def windows(self, lifetime: float) -> int:
        """Number of windows for which an id must be remembered: at least two, with an allowance for clocks that
        differ."""
        return max(2, math.ceil((lifetime + MAX_CLOCK_SKEW) / self.window))


PROFILE_LIMIT = RateLimit(10, 60.0)
"""Profile changes of a player. Not a setting: a faster game does not need more names."""


class WritePolicy(msgspec.Struct, frozen=True):
    """The limits that the write rule checks (decide.py).

    `history_retention`: seconds for which an accepted action, and so its id, is remembered. `max_points`: a player's
    points in any window, on a board that adds points; None for no cap.
    """

    limit: RateLimit = RateLimit()
    history_retention: int = 120
    max_points: int | None = None


def history_retention(limit: RateLimit, lifetime: float) -> int:
    """Seconds for which an action must be remembered.

    So that none younger than `lifetime` counts twice, and that the limit of profile changes is exact.
    """
    return math.ceil(max(limit.windows(lifetime) * limit.window, PROFILE_LIMIT.window))


@dataclass(frozen=True, slots=True)
class KeySettings:
    """The sources of the keys of tokens or of action proofs; at most one of the first three is set.

    `generated`: the file of the secret that is generated if none is set.
    """

    key: str | None = field(repr=False)
    key_file: Path | None
    jwks_file: Path | None
    algorithm: str
    generated: Path

    @property
    def configured(self) -> bool:
        """Whether a key is set."""
        return not (self.key is None and self.key_file is None and self.jwks_file is None)


class ClaimNames(msgspec.Struct, frozen=True):
    """The names of the claims that are read, and of the scopes that grant a power.

    A name is that of a claim; if there is none and it begins with `/`, it is a JSON Pointer into the claims (RFC 6901),
    such as `/realm_access/roles`. `user` None: `sub`, else `user_id`.
    """

    user: str | None = None
    names: tuple[str, ...] = ("nickname", "preferred_username", "name")
    scopes: tuple[str, ...] = ("scope", "scp")
    write_scopes: tuple[str, ...] = (Scope.WRITE.value,)
    admin_scopes: tuple[str, ...] = (Scope.ADMIN.value,)
    audiences: tuple[str, ...] = ("aud",)

    def granting(self, scope: str) -> tuple[str, ...]:
        """The scopes of a token that grant a power, one of `Scope`."""
        return self.write_scopes if scope == Scope.WRITE else self.admin_scopes


DEFAULT_CLAIMS = ClaimNames()
"""The defaults, which most OpenID Connect providers use."""
