"""What looks like cheating, told from a player's own stream of submissions. Kept in this process, in bounded memory.

Nothing here refuses a submission: that is the store's filter. These rules tell people, and where it is configured
suspend a player until somebody has looked.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from enum import StrEnum

import msgspec

from tornado_app.core.errors import ExpiredActionProof, InvalidActionProof, LeaderboardError, SuspiciousActivity

MAX_PLAYERS = 50_000
"""Players kept in mind; past that the one that was quiet the longest is forgotten."""


class AbuseRule(StrEnum):
    """A reason to look at a player."""

    POINTS_CAP = "points_cap"
    REFUSED_PROOFS = "refused_proofs"
    REPLAY_STORM = "replay_storm"
    JUMP = "jump"


class Suspect(msgspec.Struct, frozen=True):
    """A player who broke a rule: how often, and when last (milliseconds)."""

    player: str
    rule: AbuseRule
    times: int
    last: int


class Thresholds(msgspec.Struct, frozen=True):
    """When a rule speaks. `window` is in seconds; a rule speaks once for a player in each.

    `jump`: points of one update, as a multiple of the player's own mean over at least `history` updates.
    """

    window: float = 60.0
    refused_proofs: int = 5
    replays: int = 30
    jump: float = 20.0
    history: int = 20


class _PlayerActivity:
    """What is known of one player."""

    __slots__ = ("mean", "proofs", "replays", "reported", "updates")

    def __init__(self, thresholds: Thresholds) -> None:
        self.proofs: deque[float] = deque(maxlen=thresholds.refused_proofs)
        self.replays: deque[float] = deque(maxlen=thresholds.replays)
        self.reported: dict[AbuseRule, float] = {}
        self.updates = 0
        self.mean = 0.0


class AbuseDetector:
    """Listens to what became of submissions, and tells which rules that breaks."""

    def __init__(
        self,
        thresholds: Thresholds | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_players: int = MAX_PLAYERS,
    ) -> None:
        self._thresholds = thresholds or Thresholds()
        self._clock = clock
        self._max_players = max_players
        self._players: OrderedDict[str, _PlayerActivity] = OrderedDict()

    def accepted(self, player: str, points: int) -> AbuseRule | None:
        """An update was counted."""
        activity = self._activity(player)
        limits = self._thresholds
        jumped = activity.updates >= limits.history and points > limits.jump * activity.mean
        activity.updates += 1
        weight = 1 / min(activity.updates, 5 * limits.history)  # a mean over the last hundred or so
        activity.mean += (points - activity.mean) * weight
        return self._report(activity, AbuseRule.JUMP) if jumped else None

    def replayed(self, player: str) -> AbuseRule | None:
        """An update was counted before."""
        activity = self._activity(player)
        return self._report(activity, AbuseRule.REPLAY_STORM) if self._full(activity.replays) else None

    def refused(self, player: str, refusal: LeaderboardError) -> AbuseRule | None:
        """An update was refused."""
        if isinstance(refusal, SuspiciousActivity):
            return self._report(self._activity(player), AbuseRule.POINTS_CAP)
        if isinstance(refusal, InvalidActionProof | ExpiredActionProof):
            activity = self._activity(player)
            return self._report(activity, AbuseRule.REFUSED_PROOFS) if self._full(activity.proofs) else None
        return None

    def _full(self, times: deque[float]) -> bool:
        """Note one more, and tell whether there were as many as fit within the window."""
        now = self._clock()
        times.append(now)
        return len(times) == times.maxlen and now - times[0] <= self._thresholds.window

    def _report(self, activity: _PlayerActivity, rule: AbuseRule) -> AbuseRule | None:
        now = self._clock()
        last = activity.reported.get(rule)
        if last is not None and now - last < self._thresholds.window:
            return None
        activity.reported[rule] = now
        return rule

    def _activity(self, player: str) -> _PlayerActivity:
        activity = self._players.get(player)
        if activity is None:
            activity = self._players[player] = _PlayerActivity(self._thresholds)
            if len(self._players) > self._max_players:
                self._players.popitem(last=False)
        else:
            self._players.move_to_end(player)
        return activity
