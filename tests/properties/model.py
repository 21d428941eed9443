"""The expected behaviour of the store as a simple model: players with the list of all their actions, no database.

It shares no code with the store, and keeps all actions, so that it sums instead of subtracting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

MAX_SCORE = 2**63 - 1


class Rules(NamedTuple):
    """`window` and `retention`, for which an action is remembered at least, are in milliseconds."""

    updates: int
    window: int
    retention: int
    cap: int | None


class Wanted(NamedTuple):
    """A submission; `request` identifies the request, to compare two uses of an id."""

    user: str
    points: int
    id: str | None = None
    request: bytes = b"f"
    create: bool = True
    name: str | None = None


class Answer(NamedTuple):
    """A receipt, or the name of the refusal."""

    refused: str = ""
    score: int = 0
    points: int = 0
    at: int = 0
    created: bool = False
    replayed: bool = False


PROFILES, PROFILE_WINDOW = 10, 60_000
"""Profile changes of a player in any window of so many milliseconds."""


class RateLimitState(NamedTuple):
    """Updates left, and milliseconds until there is one more."""

    remaining: int
    reset: int


class State(NamedTuple):
    """The result of a moderation."""

    score: int
    suspended: bool
    hidden: bool
    changed: bool
    points: int = 0
    actions: int = 0


@dataclass
class Done:
    """One counted action. `points` are 0 once they were taken back; a later write may make it `forgotten`."""

    id: str | None
    request: bytes
    points: int
    at: int
    created: bool
    taken: bool = False
    forgotten: bool = False


@dataclass
class Player:
    """One player and all that was counted, oldest first."""

    updated_at: int
    name: str
    own: str | None = None
    profile_at: list[int] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    suspended: bool = False
    hidden: bool = False

    @property
    def score(self) -> int:
        return sum(one.points for one in self.done)


class Model:
    """The players of one board. Refusals are named for the exception's class."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.players: dict[str, Player] = {}

    # -- scoring --------------------------------------------------------------------------------------

    def submit(self, wanted: Wanted, now: int) -> Answer:
        """Count the action, or return the refusal."""
        answer = self.answer(wanted, now)
        if answer.refused or answer.replayed:
            return answer
        player = self.players.setdefault(wanted.user, Player(now, wanted.user))
        self._forget(player, now)
        player.done.append(Done(wanted.id, wanted.request, wanted.points, now, answer.created))
        player.updated_at = now
        player.name = wanted.name or player.name
        return answer

    def answer(self, wanted: Wanted, now: int) -> Answer:
        """The result without a change."""
        player = self.players.get(wanted.user)
        if player is None:
            if self.rules.cap is not None and wanted.points > self.rules.cap:
                return Answer("SuspiciousActivity")
            if not wanted.create:
                return Answer("PlayerNotFound")
            return Answer("", wanted.points, wanted.points, now, created=True)
        for one in reversed([one for one in player.done if not one.forgotten]):
            if wanted.id is not None and one.id == wanted.id:
                return self._again(player, one, wanted)
        refused = self._refused(player, wanted.points, now)
        return Answer(refused) if refused else Answer("", player.score + wanted.points, wanted.points, now)

    def _again(self, player: Player, one: Done, wanted: Wanted) -> Answer:
        if one.request != wanted.request:
            return Answer("ActionConflict")
        upto = next(n for n, other in enumerate(player.done, start=1) if other is one)
        score = sum(other.points for other in player.done[:upto])
        return Answer("", score, one.points, one.at, one.created, replayed=True)

    def _refused(self, player: Player, points: int, now: int) -> str:
        if player.suspended:
            return "PlayerSuspended"
        if player.score + points > MAX_SCORE:
            return "InvalidIncrement"
        if not self._free([one.at for one in player.done], now):
            return "RateLimited"
        spent = sum(one.points for one in player.done if not one.forgotten and one.at > now - self.rules.window)
        return "SuspiciousActivity" if self.rules.cap is not None and spent + points > self.rules.cap else ""

    def _forget(self, player: Player, now: int) -> None:
        """A write removes what is older than the retention, from the oldest on and up to the first that is not."""
        for one in player.done:
            if one.at >= now - self.rules.retention:
                break
            one.forgotten = True

    def _free(self, times: list[int], now: int) -> bool:
        """The first of the last `updates` counted actions must have left the window, whatever the clocks did."""
        return len(times) < self.rules.updates or times[-self.rules.updates] <= now - self.rules.window

    def rate_limit_state(self, user: str, now: int) -> RateLimitState:
        """How many more would be counted if they came now, and after how long it is one more."""
        times = [one.at for one in self.players[user].done] if user in self.players else []
        left = self._left(times, now)
        if left == self.rules.updates:
            return RateLimitState(left, 0)
        waits = sorted(at + self.rules.window - now for at in times if at + self.rules.window > now)
        return RateLimitState(left, min(next(d for d in waits if self._left(times, now + d) > left), self.rules.window))

    def _left(self, times: list[int], now: int) -> int:
        times = times.copy()
        left = 0
        while self._free(times, now) and left < self.rules.updates:
            times.append(now)
            left += 1
        return left

    def register(self, user: str, name: str | None, now: int) -> bool | str:
        """Whether the player was created. The name is the player's own from now on; another one counts as a change."""
        created = user not in self.players
        player = self.players.setdefault(user, Player(now, user))
        if not created and name in (None, player.own):
            return False
        if len(player.profile_at) >= PROFILES and player.profile_at[-PROFILES] > now - PROFILE_WINDOW:
            return "RateLimited"
        self._forget(player, now)
        player.profile_at.append(now)
        player.own = name or player.own
        return created

    # -- moderating -----------------------------------------------------------------------------------

    def moderate(self, verb: str, user: str, now: int) -> State | str:
        """suspend, reinstate, hide or show."""
        player = self.players.get(user)
        if player is None:
            return "PlayerNotFound"
        name, value = {
            "suspend": ("suspended", True),
            "reinstate": ("suspended", False),
            "hide": ("hidden", True),
            "show": ("hidden", False),
        }[verb]
        changed = getattr(player, name) is not value
        if changed:
            self._forget(player, now)
        setattr(player, name, value)
        return State(player.score, player.suspended, player.hidden, changed)

    def take_back(self, user: str, action_id: str | None, since: int | None, now: int) -> State | str:
        """Take back all that have the id, or all since a time."""
        player = self.players.get(user)
        if player is None:
            return "PlayerNotFound"
        found = [
            one
            for one in player.done
            if not one.taken and (since is None or one.at >= since) and (action_id is None or one.id == action_id)
        ]
        if not found:
            return "ActionNotFound"
        self._forget(player, now)
        points = sum(one.points for one in found)
        for one in found:
            one.points, one.taken = 0, True
        return State(player.score, player.suspended, player.hidden, changed=True, points=points, actions=len(found))

    def erase(self, user: str) -> str:
        """Forget the player, and all that the player did."""
        return "PlayerNotFound" if self.players.pop(user, None) is None else ""

    # -- reading --------------------------------------------------------------------------------------

    def board(self) -> list[tuple[int, str, int]]:
        """(rank, user, score) of all players on the board; rank is 1 + the number with more."""
        shown = [(user, player) for user, player in self.players.items() if not player.hidden]
        shown.sort(key=lambda pair: (-pair[1].score, pair[1].updated_at, pair[0]))
        return [(1 + sum(o.score > p.score for _, o in shown), user, p.score) for user, p in shown]
