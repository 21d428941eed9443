"""Abuse rules: detect suspicious submissions of a player. In the memory of this process, of bounded size.

The rules refuse no submission; the filter of the write does that. They report, and can suspend a player until a
moderator has checked the case.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from enum import StrEnum

import msgspec

from tornado_app.core.errors import ExpiredActionProof, InvalidActionProof, LeaderboardError, SuspiciousActivity

MAX_PLAYERS = 50_000
"""Maximum players in memory; the one without updates for the longest time is dropped."""


class AbuseRule(StrEnum):
    """A reason to check a player."""

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
    """Thresholds of the rules. `window` is in seconds; a rule reports a player once in each window.

    `jump`: points of one update, as a multiple of the player's own mean over at least `history` updates.
    """

    window: float = 60.0
    refused_proofs: int = 5
    replays: int = 30
    jump: float = 20.0
    history: int = 20


class _PlayerActivity:
    """The recent activity of one player."""

    __slots__ = ("mean", "proofs", "replays", "reported", "updates")

    def __init__(self, thresholds: Thresholds) -> None:
        self.proofs: deque[float] = deque(maxlen=thresholds.refused_proofs)
        self.replays: deque[float] = deque(maxlen=thresholds.replays)
        self.reported: dict[AbuseRule, float] = {}
        self.updates = 0
        self.mean = 0.0


class AbuseDetector:
    """Receives the results of submissions, and returns the rule that a player has just broken, if any.

    `player` is any key: on each board a player has another one, as the points of one say nothing about another.
    """

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
        self._players: OrderedDict[Hashable, _PlayerActivity] = OrderedDict()

    def accepted(self, player: Hashable, points: int) -> AbuseRule | None:
        """Record a counted update."""
        activity = self._activity(player)
        limits = self._thresholds
        jumped = activity.updates >= limits.history and points > limits.jump * activity.mean
        activity.updates += 1
        weight = 1 / min(activity.updates, 5 * limits.history)  # a mean over the last hundred or so
        activity.mean += (points - activity.mean) * weight
        return self._report(activity, AbuseRule.JUMP) if jumped else None

    def replayed(self, player: Hashable) -> AbuseRule | None:
        """Record an update that had been counted before."""
        activity = self._activity(player)
        return self._report(activity, AbuseRule.REPLAY_STORM) if self._full(activity.replays) else None

    def refused(self, player: Hashable, refusal: LeaderboardError) -> AbuseRule | None:
        """Record a refused update."""
        if isinstance(refusal, SuspiciousActivity):
            return self._report(self._activity(player), AbuseRule.POINTS_CAP)
        if isinstance(refusal, InvalidActionProof | ExpiredActionProof):
            activity = self._activity(player)
            return self._report(activity, AbuseRule.REFUSED_PROOFS) if self._full(activity.proofs) else None
        return None

    def _full(self, times: deque[float]) -> bool:
        """Add one event; whether the window is now full."""
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

    def _activity(self, player: Hashable) -> _PlayerActivity:
        activity = self._players.get(player)
        if activity is None:
            activity = self._players[player] = _PlayerActivity(self._thresholds)
            if len(self._players) > self._max_players:
                self._players.popitem(last=False)
        else:
            self._players.move_to_end(player)
        return activity
