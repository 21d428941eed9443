"""The use cases of moderators: each requires the scope, and a reason for the record."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from tornado_app.core.errors import InvalidBody
from tornado_app.core.model import Caller, Scope
from tornado_app.core.validation import require


class ModerationRequest(msgspec.Struct, frozen=True):
    """The moderator, the player and the reason."""

    user_id: str
    by: str
    reason: str


class ModerationResult(msgspec.Struct, frozen=True):
    """The player's state after the request. `score`: None if the player has none. `changed`: whether it changed;
    `points`: taken back, which are negative if a lower score is better."""

    user_id: str
    score: int | None
    suspended: bool
    hidden: bool
    changed: bool
    points: int = 0
    actions: int = 0


class ModerationStore(Protocol):
    """The store of moderation. All methods raise PlayerNotFound, and DatabaseError."""

    async def suspend(self, case: ModerationRequest) -> ModerationResult:
        """Refuse updates of the player until reinstated."""

    async def reinstate(self, case: ModerationRequest) -> ModerationResult:
        """Accept updates of the player again."""

    async def hide(self, case: ModerationRequest) -> ModerationResult:
        """Take the player off the board and the ranks; updates still count."""

    async def show(self, case: ModerationRequest) -> ModerationResult:
        """Put the player on the board again."""

    async def take_back(self, case: ModerationRequest, *, action_id: str | None, since: int | None) -> ModerationResult:
        """Take back one action, or all since a time (ms). Raises ActionNotFound."""

    async def erase(self, case: ModerationRequest) -> None:
        """Erase the player."""

    async def export(self, user_id: str) -> dict[str, Any]:
        """Everything stored about the player."""

    async def version(self) -> int:
        """The version of a board that includes all changes so far."""


class Moderation:
    """The moderator's use cases. All raise InsufficientScope without the scope."""

    def __init__(self, store: ModerationStore) -> None:
        self._store = store

    async def suspend(self, caller: Caller, user_id: str, reason: str) -> ModerationResult:
        return await self._store.suspend(_case(caller, user_id, reason))

    async def reinstate(self, caller: Caller, user_id: str, reason: str) -> ModerationResult:
        return await self._store.reinstate(_case(caller, user_id, reason))

    async def hide(self, caller: Caller, user_id: str, reason: str) -> ModerationResult:
        return await self._store.hide(_case(caller, user_id, reason))

    async def show(self, caller: Caller, user_id: str, reason: str) -> ModerationResult:
        return await self._store.show(_case(caller, user_id, reason))

    async def take_back(
        self, caller: Caller, user_id: str, reason: str, *, action_id: str | None = None, since: int | None = None
    ) -> ModerationResult:
        """Take back one action (by id) or all since a time (milliseconds). Raises InvalidBody, ActionNotFound."""
        if (action_id is None) == (since is None):
            raise InvalidBody("Send either action_id or since.")
        return await self._store.take_back(_case(caller, user_id, reason), action_id=action_id, since=since)

    async def erase(self, caller: Caller, user_id: str, reason: str) -> None:
        await self._store.erase(_case(caller, user_id, reason))

    async def export(self, caller: Caller, user_id: str) -> dict[str, Any]:
        """Everything stored about a player: for moderators, and for the player."""
        if caller.user_id != user_id:
            require(caller, Scope.ADMIN)
        return await self._store.export(user_id)

    async def version(self) -> int:
        """A board of this version or later shows all that was done so far."""
        return await self._store.version()


def _case(caller: Caller, user_id: str, reason: str) -> ModerationRequest:
    require(caller, Scope.ADMIN)
    return ModerationRequest(user_id, caller.user_id, reason)
