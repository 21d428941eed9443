"""The write rule: decides an action from the player's state. Pure; the only statement of the rule."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tornado_app.core.errors import (
    ActionConflict,
    InvalidIncrement,
    LeaderboardError,
    PlayerNotFound,
    PlayerSuspended,
    RateLimited,
    SuspiciousActivity,
)
from tornado_app.core.history import EMPTY, History, HistoryEntry, WriteKind, rate_limit_state
from tornado_app.core.model import MAX_SCORE, Action, RateLimitState, Receipt
from tornado_app.core.policies import RateLimit, WritePolicy


class PlayerState(msgspec.Struct, frozen=True):
    """The state of a player's document, as far as a write depends on it.

    `seq`: the number of writes; grows by one with each. `versioned`: whether the document has it; a document that
    another program inserted has none, and counts as one write. `erased`: an erasure has begun.
    """

    seq: int = 0
    score: int = 0
    suspended: bool = False
    hidden: bool = False
    erased: bool = False
    versioned: bool = True
    history: History = EMPTY

    def after(self, entry: HistoryEntry, expired: tuple[int, ...]) -> PlayerState:
        """The state after an action with this entry, whose write removes the entries `expired`."""
        seq = self.seq + 1
        return PlayerState(
            seq,
            self.score + entry.points,
            self.suspended,
            self.hidden,
            self.erased,
            True,  # noqa: FBT003  # by position: this is the hot path
            self.history.add(seq, entry, expired),
        )


class Accepted(msgspec.Struct, frozen=True):
    """The action is applied: `state` is the player's state after it; the write removes the entries `expired`."""

    state: PlayerState
    entry: HistoryEntry
    expired: tuple[int, ...]
    receipt: Receipt


class Replay(msgspec.Struct, frozen=True):
    """The action was applied before. `receipt` None: a read must show the receipt, or that the action is a new one."""

    receipt: Receipt | None


class Refused(msgspec.Struct, frozen=True):
    """The action is refused."""

    error: LeaderboardError


Decision: TypeAlias = Accepted | Replay | Refused


def decide(state: PlayerState | None, action: Action, write_id: str, now: int, policy: WritePolicy) -> Decision:
    """The decision about an action at `now` (milliseconds). `state` None: there is no such player.

    A write with this `write_id` that is in the history already is a replay whose receipt says `replayed=False`: the
    answer to that write was lost.
    """
    history = EMPTY if state is None else state.history
    left = rate_limit_state(history.action_times(), now, policy.limit)
    if state is None:
        refusal = _refused_new(action, left, policy)
        state = PlayerState()
    else:
        replay = _replay(state, action, write_id, left)
        if replay is not None:
            return replay
        refusal = _refusal(state, action, left, now, policy)
    if refusal is not None:
        return Refused(refusal)
    entry = HistoryEntry(
        WriteKind.ACTION,
        action.points,
        write_id,
        now,
        policy.history_retention,
        action.caller,
        action.id,
        b"" if action.id is None else action.fingerprint,
        action.type,
        action.frontend,
        not state.hidden,
    )
    expired = history.expired(now, policy.history_retention)
    after = state.after(entry, expired)
    receipt = Receipt(
        user_id=action.user_id,
        points=action.points,
        score=after.score,
        updated_at=now,
        created=after.seq == 1,
        replayed=False,
        rate_limit_state=_one_less(left, policy.limit),
        action_id=action.id,
        action_type=action.type,
    )
    return Accepted(after, entry, expired, receipt)


def _one_less(left: RateLimitState, limit: RateLimit) -> RateLimitState:
    """The rate-limit state after one more update: the next one is free as before, or once this one leaves."""
    unused = left.remaining == limit.updates
    return RateLimitState(left.remaining - 1, limit.window_ms / 1000 if unused else left.reset)


def _replay(state: PlayerState, action: Action, write_id: str, left: RateLimitState) -> Replay | Refused | None:
    history = state.history
    if history.entries is None:
        return Replay(None) if action.id is not None and history.may_contain(action.id) else None
    since, newer = 0, None
    for place, entry in enumerate(history.entries):
        if entry.kind != WriteKind.ACTION:
            continue
        own = entry.write_id == write_id
        if own or (action.id is not None and entry.id == action.id):
            if not own and entry.fingerprint != action.fingerprint:
                return Refused(
                    ActionConflict(
                        rate_limit_state=left,
                        detail=f"action id {action.id!r} was used for other points or another type",
                    )
                )
            return Replay(
                Receipt(
                    user_id=action.user_id,
                    points=history.points[place],
                    score=state.score - since,
                    updated_at=entry.at,
                    created=history.seqs[place] == 1,
                    replayed=not own,
                    rate_limit_state=left,
                    superseded_at=None if newer is None else newer.at,
                    action_id=action.id,
                    action_type=action.type,
                )
            )
        since, newer = since + history.points[place], entry
    return None


def _refused_new(action: Action, left: RateLimitState, policy: WritePolicy) -> LeaderboardError | None:
    if policy.max_points is not None and action.points > policy.max_points:
        return _above_cap(0, action, policy, left)
    if not action.create_player:
        return PlayerNotFound(
            rate_limit_state=left,
            detail=f"no player {action.user_id!r}, and this API creates none while auto_register is off",
        )
    return None


def _refusal(
    state: PlayerState, action: Action, left: RateLimitState, now: int, policy: WritePolicy
) -> LeaderboardError | None:
    if state.suspended:
        return PlayerSuspended(rate_limit_state=left)
    if state.score > MAX_SCORE - action.points:
        return InvalidIncrement(
            f"The score would exceed the maximum, {MAX_SCORE}.",
            rate_limit_state=left,
            reason="score_overflow",
            detail=f"score {state.score}, points {action.points}",
        )
    if not left.remaining:
        return rate_limited("score updates", "rate_limit", left, policy.limit)
    if policy.max_points is not None:
        spent = state.history.points_since(now - policy.limit.window_ms)
        if spent + action.points > policy.max_points:
            return _above_cap(spent, action, policy, left)
    return None


def rate_limited(what: str, setting: str, left: RateLimitState, limit: RateLimit) -> RateLimited:
    """The refusal of a player whose updates of the window are used up."""
    return RateLimited(
        f"Too many {what}: at most {limit.updates} in {limit.window:g} seconds. Try again later.",
        rate_limit_state=left,
        retry_after=left.reset,
        detail=f"{setting} {limit.updates}/{limit.window:g}s is used up, the next in {left.reset:.1f} s",
    )


def _above_cap(spent: int, action: Action, policy: WritePolicy, left: RateLimitState) -> SuspiciousActivity:
    return SuspiciousActivity(
        rate_limit_state=left,
        reason="points_cap",
        detail=(f"{spent} points in the window and {action.points} now, max_points_per_window {policy.max_points}"),
    )
