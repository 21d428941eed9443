"""The use cases of a board, which every frontend calls."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from tornado_app.core.interfaces import Store
from tornado_app.core.model import (
    Caller,
    Placement,
    Player,
    ProfileChange,
    Receipt,
    Registration,
    Standing,
    Submission,
    TopPlayers,
    standings,
)
from tornado_app.core.validation import SubmissionValidator, subject


class BoardView(Protocol):
    """One view in memory. Its members raise DatabaseError while it is being read."""

    @property
    def top(self) -> TopPlayers:
        """The top 10."""

    @property
    def total(self) -> int:
        """Number of players on the board."""

    @property
    def last_updated(self) -> int:
        """The time of the last change of a score, in milliseconds since the epoch."""

    @property
    def revision(self) -> int:
        """A number that grows with each change of the board."""

    @property
    def version(self) -> int:
        """The version of the newest event that the board shows."""

    def can_show(self, version: int) -> bool:
        """Whether the board includes all events up to a version."""

    async def wait_until_shown(self, version: int, seconds: float) -> bool:
        """Wait until `can_show`, for at most `seconds`; returns `can_show`. Does not wait if too many requests do."""

    def rank(self, score: int) -> int:
        """1 + number of players with a better score."""

    def rank_of(self, user_id: str, score: int, superseded_at: int | None = None) -> int:
        """The rank of a player with this score, which the board may not show yet.

        1 + number of other players with a better score. `superseded_at`: when the player reached a better score, if
        that happened.
        """

    def next_score(self, user_id: str, score: int) -> int | None:
        """The next better score of another player; None if there is none."""


class CaptchaCheck(Protocol):
    """Checks captchas of submissions without a proof."""

    async def check(self, submission: Submission) -> None:
        """Raises CaptchaRequired, InvalidCaptcha or CaptchaUnavailable."""


class Scoreboard:
    """One view: `submit` adds scores to its board, and players are read with their ranks."""

    def __init__(
        self, store: Store, board: BoardView, validator: SubmissionValidator, captcha: CaptchaCheck | None = None
    ) -> None:
        self._store = store
        self._validator = validator
        self._captcha = captcha
        self.board = board

    async def submit(self, submission: Submission) -> Receipt:
        """Apply a score update exactly once.

        Raises what `SubmissionValidator.validate`, `CaptchaCheck.check` and `Store.apply` raise.
        """
        action = self._validator.validate(submission)
        if self._captcha is not None and not self._validator.is_verified(submission):
            await self._captcha.check(submission)
        return await self._store.apply(action)

    async def register(self, caller: Caller, user_id: str, change: ProfileChange) -> Registration:
        """Create a player or change the profile: the caller's own, or for a game server any player's.

        Raises UserMismatch, and what `Store.register` raises.
        """
        return await self._store.register(subject(caller, user_id), change, by=caller.user_id)

    async def standing(self, user_id: str) -> Standing:
        """A player and the rank. Raises PlayerNotFound."""
        return self._rank(await self._store.player(user_id))

    def placement(self, standing: Standing) -> Placement:
        """The standing within the whole board."""
        player = standing.player
        next_score = None if standing.rank == 1 else self.board.next_score(player.user_id, player.score)
        return Placement(standing, max(self.board.total, standing.rank), next_score)

    async def around(self, user_id: str, limit: int) -> tuple[list[Standing], Standing, list[Standing]]:
        """Up to `limit` players just above, the player, and up to `limit` just below. Raises PlayerNotFound."""
        player = await self._store.player(user_id)
        above, below = await self._store.around(player, limit)
        ranked = self._in_order([*above, player, *below])
        return ranked[: len(above)], ranked[len(above)], ranked[len(above) + 1 :]

    async def chosen(self, user_ids: Collection[str]) -> list[Standing]:
        """The standings of those of these players who are on the board, in board order."""
        return self._in_order(await self._store.chosen(user_ids))

    async def page(self, limit: int, after: Player | None) -> list[Standing]:
        """Up to `limit` standings in board order, from the one after `after` on (only its position matters)."""
        players = await self._store.page(limit, after)
        return list(standings(players)) if after is None else self._in_order(players)

    def _in_order(self, players: list[Player]) -> list[Standing]:
        """Ranks for players in board order.

        The players are from the database, and the ranks in memory may be some milliseconds behind: so a rank is raised
        if the players before it have better scores.
        """
        ranked: list[Standing] = []
        for player in players:
            last = ranked[-1] if ranked else None
            if last is not None and last.player.score == player.score:
                rank = last.rank
            else:
                lowest = 1 if last is None else last.rank + sum(s.rank == last.rank for s in ranked)
                rank = max(lowest, self.board.rank(player.score))
            ranked.append(Standing(rank, player))
        return ranked

    def _rank(self, player: Player) -> Standing:
        return Standing(self.board.rank_of(player.user_id, player.score), player)
