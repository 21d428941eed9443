"""The expected behaviour of the store as a simple model: players with the list of all their actions, no database.

It shares no code with the store, and keeps all actions, so that it sums instead of subtracting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

MAX_SCORE = 2**63 - 1
MAX_SUBMITTED = 2**62 - 1


class Rules(NamedTuple):
    """`window` and `retention`, for which an action is remembered at least, are in milliseconds."""

    updates: int
    window: int
    retention: int
    cap: int | None
    rule: str = "sum"
    ascending: bool = False
    low: int | None = None
    high: int | None = None

    def submitted(self, points: int) -> int:
        """What a submission of so many points submits: on a board that keeps scores also 0 and less."""
        return points if self.rule == "sum" else max(-MAX_SUBMITTED, min(points - 6, MAX_SUBMITTED))

    def better(self, score: int, other: int) -> bool:
        return score < other if self.ascending else score > other


class Wanted(NamedTuple):
    """A submission; `request` identifies the request, to compare two uses of an id."""

    user: str
    points: int
    id: str | None = None
    request: bytes = b"f"
    create: bool = True
    name: str | None = None
    metadata: str | None = None


class Answer(NamedTuple):
    """A receipt, or the name of the refusal."""

    refused: str = ""
    score: int = 0
    points: int = 0
    at: int = 0
    created: bool = False
    replayed: bool = False
    improved: bool = False


PROFILES, PROFILE_WINDOW = 10, 60_000
"""Profile changes of a player in any window of so many milliseconds."""


class RateLimitState(NamedTuple):
    """Updates left, and milliseconds until there is one more."""

    remaining: int
    reset: int


class State(NamedTuple):
    """The result of a moderation."""

    score: int | None
    suspended: bool
    hidden: bool
    changed: bool
    points: int = 0
    actions: int = 0


@dataclass
class Done:
    """One counted action. `points` are 0 once they were taken back; a later write may make it `forgotten`.

    `answer`: what was answered.
    """

    id: str | None
    request: bytes
    points: int
    at: int
    created: bool
    value: int
    answer: Answer
    taken: bool = False
    forgotten: bool = False


@dataclass
class Player:
    """One player and all that was counted, oldest first."""

    rules: Rules
    updated_at: int
    name: str
    own: str | None = None
    profile_at: list[int] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    suspended: bool = False
    hidden: bool = False
    metadata: str | None = None

    @property
    def score(self) -> int | None:
        """None: no score."""
        values = [one.value for one in self.done if not one.taken]
        if self.rules.rule == "sum":
            return sum(values)
        if not values:
            return None
        if self.rules.rule == "last":
            return values[-1]
        return min(values) if self.rules.ascending else max(values)

    @property
    def reached(self) -> int:
        """When the score was reached."""
        left = [one for one in self.done if not one.taken]
        if self.rules.rule == "sum" or not left:
            return self.updated_at
        if self.rules.rule == "best":
            return next(one.at for one in left if one.value == self.score)
        since = left[-1].at
        for one in reversed(left):
            if one.value != self.score:
                break
            since = one.at
        return since

    @property
    def points(self) -> int:
        """The score as a number of points: 0 for none."""
        return self.score or 0


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
        player = self.players.setdefault(wanted.user, Player(self.rules, now, wanted.user))
        self._forget(player, now)
        value, before = self.rules.submitted(wanted.points), player.score
        player.done.append(Done(wanted.id, wanted.request, answer.points, now, answer.created, value, answer))
        if player.score != before or self.rules.rule == "sum":
            player.metadata = wanted.metadata
        player.updated_at = now
        player.name = wanted.name or player.name
        return answer

    def answer(self, wanted: Wanted, now: int) -> Answer:
        """The result without a change."""
        player = self.players.get(wanted.user)
        value = self.rules.submitted(wanted.points)
        if player is None:
            if self._outside(value):
                return Answer("OutOfBounds")
            if self.rules.rule == "sum" and self.rules.cap is not None and value > self.rules.cap:
                return Answer("SuspiciousActivity")
            if not wanted.create:
                return Answer("PlayerNotFound")
            return Answer("", value, value, now, created=True, improved=True)
        for one in reversed([one for one in player.done if not one.forgotten]):
            if wanted.id is not None and one.id == wanted.id:
                return self._again(player, one, wanted)
        refused = self._refused(player, value, now)
        return Answer(refused) if refused else self._counted(player, value, now)

    def _counted(self, player: Player, value: int, now: int) -> Answer:
        """The answer to one more value."""
        one = Done(None, b"", 0, now, created=False, value=value, answer=Answer())
        there = Player(self.rules, now, "", done=[*player.done, one])
        before, after = player.score, there.points
        improved = before is None or self.rules.better(after, before)
        return Answer("", after, after - player.points, there.reached, improved=improved)

    def _outside(self, value: int) -> bool:
        low, high = self.rules.low, self.rules.high
        return (low is not None and value < low) or (high is not None and value > high)

    def _again(self, player: Player, one: Done, wanted: Wanted) -> Answer:
        if one.request != wanted.request:
            return Answer("ActionConflict")
        if self.rules.rule != "sum":
            return one.answer._replace(points=one.points, replayed=True)
        upto = next(n for n, other in enumerate(player.done, start=1) if other is one)
        score = sum(other.points for other in player.done[:upto])
        improved = one.created or self.rules.better(score, score - one.points)
        return Answer("", score, one.points, one.at, one.created, replayed=True, improved=improved)

    def _refused(self, player: Player, value: int, now: int) -> str:
        if player.suspended:
            return "PlayerSuspended"
        if self._outside(value):
            return "OutOfBounds"
        if self.rules.rule == "sum" and player.points + value > MAX_SCORE:
            return "InvalidIncrement"
        if not self._free([one.at for one in player.done], now):
            return "RateLimited"
        if self.rules.rule != "sum" or self.rules.cap is None:
            return ""
        spent = sum(one.points for one in player.done if not one.forgotten and one.at > now - self.rules.window)
        return "SuspiciousActivity" if spent + value > self.rules.cap else ""

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
        player = self.players.setdefault(user, Player(self.rules, now, user))
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
        before, came = player.points, (player.score, player.reached)
        for one in found:
            one.points, one.taken = 0, True
        if (player.score, player.reached) != came:
            player.metadata = None
        points = before - player.points
        return State(player.score, player.suspended, player.hidden, changed=True, points=points, actions=len(found))

    def erase(self, user: str) -> str:
        """Forget the player, and all that the player did."""
        return "PlayerNotFound" if self.players.pop(user, None) is None else ""

    # -- reading --------------------------------------------------------------------------------------

    def board(self) -> list[tuple[int, str, int]]:
        """(rank, user, score) of all players on the board; rank is 1 + the number with a better score."""
        shown = [
            (user, score, player.reached)
            for user, player in self.players.items()
            if not player.hidden and (score := player.score) is not None
        ]
        shown.sort(key=lambda row: (row[1] if self.rules.ascending else -row[1], row[2], row[0]))
        return [(1 + sum(self.rules.better(other, score) for _, other, _ in shown), user, score)
                for user, score, _ in shown]  # fmt: skip
