"""The interfaces that the use cases need: the store, and the listener of the change feed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import msgspec

from tornado_app.core.boards import View
from tornado_app.core.model import Action, Player, ProfileChange, Receipt, Registration, TopPlayers


class Change(msgspec.Struct, frozen=True):
    """One change of one player in a view, in the order of the database.

    `old` and `new` are the scores before and after; None means that the player is not in the view. `version` is
    comparable with `TopPlayers.version`; `at` is the player's new `updated_at`, 0 if that did not change. `write_ids`:
    of the actions that added points or created the player; none for any other change. `epoch`: of a period.
    """

    user_id: str
    old: int | None
    new: int | None
    version: int
    at: int
    write_ids: tuple[str, ...] = ()
    epoch: int | None = None


class ScoreSnapshot(msgspec.Struct, frozen=True):
    """Every score of a view at one moment, as (score, number of players). `epoch`: of a period."""

    counts: Iterable[tuple[int, int]]
    version: int
    last_updated: int
    epoch: int | None = None


class InconsistentChange(Exception):
    """A change that does not match the known scores; a new snapshot is needed."""


class FeedListener(Protocol):
    """Receives the changes of all views, in the order of the database."""

    def on_snapshots(self, snapshots: Mapping[View, ScoreSnapshot]) -> None:
        """Replace everything known by these snapshots, which are of one moment."""

    def on_change(self, view: View, change: Change) -> None:
        """One player changed in a view after its snapshot. Raises InconsistentChange."""

    def on_progress(self, version: int) -> None:
        """All events up to this version were reported, of all views."""

    def on_history_lost(self) -> None:
        """The history of all views is lost; `on_snapshots` follows as soon as possible."""


class Store(Protocol):
    """The players of one board and their scores.

    Every method raises DatabaseError if the database does not answer in time.
    """

    async def apply(self, action: Action) -> Receipt:
        """Apply an action exactly once.

        Raises PlayerNotFound, ActionConflict, RateLimited, SuspiciousActivity, PlayerSuspended, InvalidIncrement (the
        score would overflow) or Overloaded.
        """

    async def register(self, user_id: str, change: ProfileChange, *, by: str) -> Registration:
        """Create the player or change the profile. Raises RateLimited or Overloaded."""

    async def player(self, user_id: str) -> Player:
        """One player. Raises PlayerNotFound."""

    async def chosen(self, user_ids: Collection[str]) -> list[Player]:
        """Those of these players who are on the board, in board order."""

    async def top(self) -> TopPlayers:
        """The top of the board, at one moment."""

    async def around(self, player: Player, limit: int) -> tuple[list[Player], list[Player]]:
        """Up to `limit` players just above and just below, both in board order."""

    async def page(self, limit: int, after: Player | None) -> list[Player]:
        """Up to `limit` players in board order, from the one after `after` on (only its position matters)."""
