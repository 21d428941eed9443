"""What follows when a player breaks an abuse rule: a stored report, and a suspension if the settings say so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from tornado_app.core.abuse import AbuseRule
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.moderation import ModerationRequest
from tornado_app.mongo.client.errors import database_errors
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.suspects import Suspects

log = logging.getLogger("leaderboard.app")


class AbuseReporter:
    """Stores reports in `suspects`, for at most `timeout` seconds each; `suspend`: whether players are suspended."""

    def __init__(self, suspects: Suspects, moderation: MongoModeration, *, suspend: bool, timeout: float) -> None:
        self._suspects = suspects
        self._moderation = moderation
        self._suspend_players = suspend
        self._timeout = timeout

    def report(self, spawn: Callable[[Coroutine[Any, Any, None]], object], player: str, rule: AbuseRule) -> None:
        """Report a player, and suspend the player if that is configured, in tasks that `spawn` starts."""
        spawn(self._store(player, rule))
        if self._suspend_players:
            spawn(self._suspend(ModerationRequest(player, f"rule:{rule}", "suspended until reviewed")))

    async def _store(self, player: str, rule: AbuseRule) -> None:
        try:
            async with database_errors(self._timeout):
                await self._suspects.record(player, rule)
        except LeaderboardError as error:
            log.error("abuse report could not be stored", extra={"player": player, "rule": rule, "error": error.code})

    async def _suspend(self, case: ModerationRequest) -> None:
        try:
            await self._moderation.suspend(case)
        except LeaderboardError as error:
            log.error("automatic suspension of a player failed", extra={"player": case.user_id, "error": error.code})
