"""The write rule: decides an action from the player's state. Pure; the only statement of the rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from tornado_app.core.boards import MAIN, Board, Rule
from tornado_app.core.errors import (
    ActionConflict,
    InvalidIncrement,
    LeaderboardError,
    OutOfBounds,
    PlayerNotFound,
    PlayerSuspended,
    RateLimited,
    SuspiciousActivity,
)
from tornado_app.core.history import EMPTY, INT64, History, HistoryEntry, WriteKind, rate_limit_state
from tornado_app.core.model import MAX_SCORE, Action, PeriodScore, RateLimitState, Receipt
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.core.slots import OpenEpoch, Slot, find, with_value


class PlayerState(msgspec.Struct, frozen=True):
    """The state of a player's document, as far as a write depends on it.

    `seq`: the number of writes; grows by one with each. 0: the player exists, but not on this board yet. `score` None:
    the player has no score yet, or none any more. `versioned`: whether the document has `seq`; a document that another
    program inserted has none, and counts as one write. `erased`: an erasure has begun. `updated_at`: when the score was
    reached, in milliseconds. `metadata`: the score has metadata. `slots`: the scores in periods.
    """

    seq: int = 0
    score: int | None = None
    suspended: bool = False
    hidden: bool = False
    erased: bool = False
    versioned: bool = True
    history: History = EMPTY
    updated_at: int = 0
    metadata: bool = False
    slots: tuple[Slot, ...] = ()

    def after(
        self,
        entry: HistoryEntry,
        expired: tuple[int, ...],
        score: int,
        updated_at: int,
        *,
        metadata: bool,
        slots: tuple[Slot, ...],
    ) -> PlayerState:
        """The state after an action with this entry and this score, whose write removes the entries `expired`."""
        seq = self.seq + 1
        return PlayerState(
            seq,
            score,
            self.suspended,
            self.hidden,
            self.erased,
            True,  # noqa: FBT003  # by position: this is the hot path
            self.history.add(seq, entry, expired),
            updated_at,
            metadata,
            slots,
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


def decide(
    state: PlayerState | None,
    action: Action,
    write_id: str,
    now: int,
    policy: WritePolicy,
    board: Board = MAIN,
    epochs: Sequence[OpenEpoch] = (),
) -> Decision:
    """The decision about an action at `now` (milliseconds), in these epochs. `state` None: there is no such player.

    A write with this `write_id` that is in the history already is a replay whose receipt says `replayed=False`: the
    answer to that write was lost.
    """
    history = EMPTY if state is None else state.history
    left = rate_limit_state(history.action_times(), now, policy.limit)
    if state is None or not state.seq:
        suspended = state is not None and state.suspended
        refusal = PlayerSuspended(rate_limit_state=left) if suspended else _refused_new(action, left, policy, board)
        state = state or PlayerState()
    else:
        replay = _replay(state, action, write_id, left, board)
        if replay is not None:
            return replay
        refusal = _refusal(state, action, left, now, policy, board)
    if refusal is not None:
        return Refused(refusal)
    score = board.score_after(state.score, action.value)
    if score == state.score:
        reached, metadata = state.updated_at, state.metadata
    else:
        reached, metadata = now, action.metadata is not None
    entry = HistoryEntry(
        WriteKind.ACTION,
        score - (state.score or 0),
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
    if board.rule is not Rule.SUM:
        earlier = 0 if reached == now else reached
        entry = msgspec.structs.replace(entry, submitted=action.value, before=state.score, reached=earlier)
    slots = state.slots
    if epochs:
        slots, before = with_value(slots, epochs, action.value, now, board)
        if any(slot.score is not None and slot.score not in INT64 for slot in slots):
            return Refused(_overflow(state.score, action, left))
        entry = msgspec.structs.replace(entry, slots=before)
    expired = history.expired(now, policy.history_retention)
    after = state.after(entry, expired, score, reached, metadata=metadata, slots=slots)
    receipt = Receipt(
        user_id=action.user_id,
        points=entry.points,
        score=score,
        updated_at=reached,
        created=after.seq == 1,
        replayed=False,
        rate_limit_state=_one_less(left, policy.limit),
        action_id=action.id,
        action_type=action.type,
        submitted=entry.submitted,
        improved=state.score is None or board.order.better(score, state.score),
        epochs=_epoch_scores(entry, board),
    )
    return Accepted(after, entry, expired, receipt)


def _one_less(left: RateLimitState, limit: RateLimit) -> RateLimitState:
    """The rate-limit state after one more update: the next one is free as before, or once this one leaves."""
    unused = left.remaining == limit.updates
    return RateLimitState(left.remaining - 1, limit.window_ms / 1000 if unused else left.reset)


def _epoch_scores(entry: HistoryEntry, board: Board, present: Sequence[Slot] = ()) -> tuple[PeriodScore, ...]:
    """The scores in periods directly after an action. `present`: the slots now, if there may be later actions."""
    value = entry.points if entry.submitted is None else entry.submitted
    found = []
    for before in entry.slots:
        score = board.score_after(before.score, value)
        improved = before.score is None or board.order.better(score, before.score)
        now = find(present, before.period)
        better = now is not None and now.score is not None and board.order.better(now.score, score)
        found.append(PeriodScore(before.period, before.epoch, score, improved, now.at if now and better else None))
    return tuple(found)


def _replay(
    state: PlayerState, action: Action, write_id: str, left: RateLimitState, board: Board
) -> Replay | Refused | None:
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
            return Replay(_receipt_again(state, action, place, since, newer, left, board, replayed=not own))
        since += history.points[place]
        newer = entry if history.points[place] else newer
    return None


def _receipt_again(
    state: PlayerState,
    action: Action,
    place: int,
    since: int,
    newer: HistoryEntry | None,
    left: RateLimitState,
    board: Board,
    *,
    replayed: bool,
) -> Receipt:
    """The receipt of the action at `place` of the history; `since` and `newer`: points after it, and their first."""
    history = state.history
    assert history.entries is not None  # noqa: S101  # the action was found there
    entry, points, created = history.entries[place], history.points[place], history.seqs[place] == 1
    before: int | None
    if entry.submitted is None:
        score = (state.score or 0) - since
        before = None if created else score - points
    else:
        score, before = (entry.before or 0) + entry.points, entry.before
    better = state.score is not None and board.order.better(state.score, score)
    return Receipt(
        user_id=action.user_id,
        points=points,
        score=score,
        updated_at=entry.reached or entry.at,
        created=created,
        replayed=replayed,
        rate_limit_state=left,
        superseded_at=newer.at if newer is not None and better else None,
        action_id=action.id,
        action_type=action.type,
        submitted=entry.submitted,
        improved=before is None or board.order.better(score, before),
        epochs=_epoch_scores(entry, board, state.slots),
    )


def _refused_new(action: Action, left: RateLimitState, policy: WritePolicy, board: Board) -> LeaderboardError | None:
    refusal = _out_of_bounds(action, left, board)
    if refusal is not None:
        return refusal
    cap = _points_cap(policy, board)
    if cap is not None and action.value > cap:
        return _above_cap(0, action, cap, left)
    if not action.create_player:
        return PlayerNotFound(
            rate_limit_state=left,
            detail=f"no player {action.user_id!r}, and this API creates none while auto_register is off",
        )
    return None


def _refusal(
    state: PlayerState, action: Action, left: RateLimitState, now: int, policy: WritePolicy, board: Board
) -> LeaderboardError | None:
    if state.suspended:
        return PlayerSuspended(rate_limit_state=left)
    refusal = _out_of_bounds(action, left, board)
    if refusal is not None:
        return refusal
    score = board.score_after(state.score, action.value)
    if score not in INT64 or score - (state.score or 0) not in INT64:
        return _overflow(state.score, action, left)
    if not left.remaining:
        return rate_limited("score updates", "rate_limit", left, policy.limit)
    cap = _points_cap(policy, board)
    if cap is not None:
        spent = state.history.points_since(now - policy.limit.window_ms)
        if spent + action.value > cap:
            return _above_cap(spent, action, cap, left)
    return None


def _overflow(score: int | None, action: Action, left: RateLimitState) -> InvalidIncrement:
    return InvalidIncrement(
        f"The score would exceed the maximum, {MAX_SCORE}.",
        rate_limit_state=left,
        reason="score_overflow",
        detail=f"score {score}, submitted {action.value}",
    )


def _out_of_bounds(action: Action, left: RateLimitState, board: Board) -> LeaderboardError | None:
    if board.bounds is None or action.value in board.bounds:
        return None
    what = "points" if board.rule is Rule.SUM else "a score"
    return OutOfBounds(
        f"The board accepts {what} of {board.bounds}, not {action.value}.",
        rate_limit_state=left,
        detail=f"submitted {action.value}, bounds of board {board.name}: {board.bounds}",
    )


def _points_cap(policy: WritePolicy, board: Board) -> int | None:
    """`max_points`, on a board that adds points: on any other, its bounds limit what a write can do."""
    return policy.max_points if board.rule is Rule.SUM else None


def rate_limited(what: str, setting: str, left: RateLimitState, limit: RateLimit) -> RateLimited:
    """The refusal of a player whose updates of the window are used up."""
    return RateLimited(
        f"Too many {what}: at most {limit.updates} in {limit.window:g} seconds. Try again later.",
        rate_limit_state=left,
        retry_after=left.reset,
        detail=f"{setting} {limit.updates}/{limit.window:g}s is used up, the next in {left.reset:.1f} s",
    )


def _above_cap(spent: int, action: Action, cap: int, left: RateLimitState) -> SuspiciousActivity:
    return SuspiciousActivity(
        rate_limit_state=left,
        reason="points_cap",
        detail=f"{spent} points in the window and {action.value} now, max_points_per_window {cap}",
    )
