"""The values of a leaderboard. All are frozen; times are integer milliseconds since the Unix epoch, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

MAX_SCORE = 2**63 - 1
"""Scores and points are int64."""

TOP = 10
"""Number of standings on the live board."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Scope(StrEnum):
    """The powers of a token beyond playing for its own player."""

    WRITE = "scores:write"
    ADMIN = "leaderboard:admin"


class Profile(msgspec.Struct, frozen=True):
    """The name and picture of a token; None keeps the stored value."""

    username: str | None = None
    avatar_url: str | None = None


class ProfileChange(msgspec.Struct, frozen=True):
    """The player's own name and picture, which no token changes: UNSET keeps the stored value, None is no value."""

    username: str | UnsetType | None = UNSET
    avatar_url: str | UnsetType | None = UNSET


class Caller(msgspec.Struct, frozen=True):
    """The identity in a verified token. `expires_at`: seconds since the epoch."""

    user_id: str
    expires_at: float
    profile: Profile = Profile()
    scopes: frozenset[str] = frozenset()

    @property
    def trusted(self) -> bool:
        """Whether it is a game server, which may write for any player."""
        return Scope.WRITE in self.scopes


class Submission(msgspec.Struct, frozen=True):
    """A score update as a frontend reads it from a request, before any rule is applied.

    `user_id` None is the caller. The points are those of `action_type` in the actions table if a type is given, else
    `points`, else `default_points`. `score` is given instead of points on a board that does not add them. `action_id`
    None makes the request an action of its own. `proof` is the game server's action proof, in compact form; `captcha` a
    solved captcha's token; `remote` the client's address; `frontend` the frontend's name, for the record. `metadata` is
    a JSON object as a text, which is stored with the score.
    """

    caller: Caller
    user_id: str | None = None
    points: int | None = None
    action_type: str | None = None
    action_id: str | None = None
    create_player: bool = False
    proof: str | None = None
    default_points: int | None = None
    captcha: str | None = None
    remote: str = ""
    frontend: str = ""
    score: int | None = None
    metadata: str | None = None


class VerifiedProof(msgspec.Struct, frozen=True):
    """The contents of a verified proof: the action's id, its type, and its points or its score."""

    id: str
    action_type: str
    value: int


class Action(msgspec.Struct, frozen=True):
    """An action, which the store applies exactly once for each (`user_id`, `id`).

    `value`: the points to add, or the submitted score, as the board's rule says. `id` None: the action is not a
    repetition. `fingerprint`: equal for two uses of an id if they are the same request.
    `create_player`: an unknown player is created, not refused. `type`, `frontend` and `caller` are for the record.
    `metadata`: a JSON object as a text, which is stored if the action leads to another score.
    """

    user_id: str
    value: int
    id: str | None
    fingerprint: bytes
    profile: Profile
    create_player: bool
    type: str | None = None
    frontend: str = ""
    caller: str = ""
    metadata: str | None = None


class RateLimitState(msgspec.Struct, frozen=True):
    """A player's rate-limit state: updates left, and seconds until one more is free (0 if none is used)."""

    remaining: int
    reset: float


class PeriodScore(msgspec.Struct, frozen=True):
    """A score in one epoch of a period, directly after an action; `improved` as in `Receipt`.

    `superseded_at`: when the player reached a better score in the present epoch, which may be a later one.
    """

    period: str
    epoch: int
    score: int
    improved: bool
    superseded_at: int | None = None


class Receipt(msgspec.Struct, frozen=True):
    """The result of an accepted action: the score directly after it, and the time when that score was reached.

    `points`: what it added to the score. `created`: it created the player; `replayed`: it had been applied before, and
    added nothing now. `superseded_at`: when the player reached a better score, in milliseconds; None while there is
    none. `version`: a board of this version or later shows it. `action_id`, `action_type`: those of the action, if it
    has them, also from its proof. `submitted`: the submitted score; None if points were submitted. `improved`: the
    score is better than the one before, or the player's first. `epochs`: the scores in the board's periods.
    """

    user_id: str
    points: int
    score: int
    updated_at: int
    created: bool
    replayed: bool
    rate_limit_state: RateLimitState
    superseded_at: int | None = None
    version: int = 0
    action_id: str | None = None
    action_type: str | None = None
    submitted: int | None = None
    improved: bool = True
    epochs: tuple[PeriodScore, ...] = ()


class Player(msgspec.Struct, frozen=True):
    """A player as stored. `username` is the id if no name is known. `metadata`: a text that came with the score.

    `version`: a board of this version or later shows all of it; 0 if it was not requested.
    """

    user_id: str
    score: int
    updated_at: int
    username: str
    avatar_url: str | None = None
    version: int = 0
    metadata: str | None = None


class Registration(msgspec.Struct, frozen=True):
    """The result of a profile write: `changed` has the names of the changed members of the API.

    `scored`: whether the player has a score; without one, `player.score` is 0.
    """

    player: Player
    created: bool
    changed: tuple[str, ...]
    scored: bool = True


class Standing(msgspec.Struct, frozen=True):
    """A player with the competition rank (1, 2, 2, 4)."""

    rank: int
    player: Player


class Place(NamedTuple):
    """A row of a result; `number`: 1, 2, 3 … in board order, also where ranks are equal."""

    number: int
    standing: Standing


class Placement(msgspec.Struct, frozen=True):
    """A standing within the whole board of `total` players.

    `next_score`: the score of the next better rank; None for the first rank.
    """

    standing: Standing
    total: int
    next_score: int | None

    @property
    def percentile(self) -> float:
        """Percentage of the players who are not ahead, rounded down to two decimals; 100 for the first rank."""
        return (self.total - self.standing.rank + 1) * 10_000 // self.total / 100


class TopPlayers(msgspec.Struct, frozen=True):
    """The best players at one moment, in board order.

    `version` grows with the database's cluster time, so that it compares across processes (core/versions.py). `epoch`:
    of the period; None: all time.
    """

    version: int
    standings: tuple[Standing, ...]
    epoch: int | None = None


def standings(players: list[Player]) -> tuple[Standing, ...]:
    """Competition ranks of the first players of the board, in board order."""
    ranked: list[Standing] = []
    for position, player in enumerate(players, start=1):
        tied = ranked and ranked[-1].player.score == player.score
        ranked.append(Standing(ranked[-1].rank if tied else position, player))
    return tuple(ranked)


def utc_datetime(ms: int) -> datetime:
    """The date of milliseconds since the epoch. Exact: as a float number of seconds, it is a millisecond off from 2242
    on."""
    return _EPOCH + timedelta(milliseconds=ms)


def rfc3339(ms: int) -> str:
    """`2026-01-02T03:04:05.678Z` for milliseconds since the epoch."""
    return utc_datetime(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Owner(NamedTuple):
    """An installation: `str(owner)` is `namespace/name`."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Owner:
        """An owner from `namespace/name/uid`, which the setting's pattern has checked."""
        return cls(*text.split("/"))
