"""The rule of a write: a player's document, and the one update that checks and changes it.

    players: {_id, score, updatedAt, createdAt, createdBy?, username?, avatarUrl?, ownUsername?, ownAvatarUrl?,
              suspended?, hidden?, profileAt?: [ms],
              recent: [{i: id hash, p: points, t: ms, o: write_id, r: request hash}], last: marker}

`recent` is newest first, so that the entry which decides the rate limit stands at a fixed path. `write_id` is unique
for each submission: who reads it back knows that its own write won; `createdBy` is the write_id that made the player.
`last` tells what the last write did (write_marker.py). `username` and `avatarUrl` are the token's; `ownUsername` and
`ownAvatarUrl` are the player's own choice and win, also where they are null, which shows none. `profileAt`: when the
profile was changed, newest first. Source: docs/decisions.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tornado_app.core.errors import (
    ActionConflict,
    InvalidIncrement,
    LeaderboardError,
    PlayerNotFound,
    PlayerSuspended,
    RateLimited,
    SuspiciousActivity,
)
from tornado_app.core.model import MAX_SCORE, Action, Player, Profile, RateLimitState, Receipt
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.mongo.players import write_marker
from tornado_app.mongo.players.cache import MAX_CACHED_HISTORY, PROFILE, CachedPlayer, id_hash, rate_limit_state
from tornado_app.mongo.players.write_marker import Kind, WriteMarker

Document = dict[str, Any]

BOARD_ORDER = [("score", -1), ("updatedAt", 1), ("_id", 1)]
"""Higher score first; among equals, who reached it first; then the user id."""

ON_BOARD: Document = {
    "hidden": {"$ne": True},
    "score": {"$gte": -MAX_SCORE - 1, "$lte": MAX_SCORE},
    "updatedAt": {"$gte": datetime(1970, 1, 1, tzinfo=UTC), "$lt": datetime(9999, 1, 1, tzinfo=UTC)},
    "$nor": [
        *({"score": {"$type": kind}} for kind in ("double", "decimal", "array")),
        {"updatedAt": {"$type": "array"}},
        {"_id": {"$not": {"$type": "string"}}},
    ],
}
"""Which players the board shows: what somebody else put into the collection must not end the service.

A range holds values of its own kind only, but looks at the members of an array.
"""

_ERASE_MARKER = r'^\["e",'
"""How the marker of an erasure begins (write_marker.py)."""

BEING_ERASED: Document = {"last": {"$regex": _ERASE_MARKER}}
NOT_BEING_ERASED: Document = {"last": {"$not": {"$regex": _ERASE_MARKER}}}
"""Whether an erasure has begun that deletes the document: nothing else may change it any more (erasure.py)."""

PLAYER_FIELDS: Document = {"score": 1, "updatedAt": 1, **dict.fromkeys(PROFILE, 1)}
"""What `player` needs of a document."""

RECEIPT_FIELDS: Document = {"score": 1, "createdBy": 1, "recent": 1, "suspended": 1, "hidden": 1, "last": 1}
"""What `receipt` and `CachedPlayer.of` need of a document."""

MARKER_FIELDS: Document = {"last": 1}
"""What tells of an attempt that relied on a state whether it was made."""


def receipt_fields(policy: WritePolicy) -> Document:
    """What `receipt` needs of nearly every document. Of a long memory that is what decides the limit: an id may stand
    further back; `needs_full_history` tells."""
    return (
        RECEIPT_FIELDS
        if policy.idempotency_history_size <= MAX_CACHED_HISTORY
        else {**RECEIPT_FIELDS, "recent": {"$slice": policy.limit.updates}}
    )


def needs_full_history(document: Document, attempt: WriteAttempt, policy: WritePolicy) -> bool:
    """Whether the attempt's id may stand further back in the memory than `receipt_fields` shows."""
    recent = document.get("recent", ())
    cut = policy.idempotency_history_size > MAX_CACHED_HISTORY and len(recent) >= policy.limit.updates
    return cut and all(entry["i"] != attempt.id_hash for entry in recent)


class WriteAttempt:
    """One try to apply an action. `write_id` is the submission's own marker, kept when it is tried again; `now`: ms.

    `absent`, `hidden`: the try before found no such player, or one that the board does not show. `state`: what the
    player's document is believed to be, where that admits the action: then the update is made on that condition.
    `version`: a board of this version or later shows what became of it.
    """

    __slots__ = ("absent", "action", "hidden", "id_hash", "last", "now", "state", "version", "write_id")

    def __init__(
        self,
        action: Action,
        write_id: str,
        now: int,
        policy: WritePolicy,
        *,
        absent: bool = False,
        hidden: bool = False,
        state: CachedPlayer | None = None,
    ) -> None:
        self.action = action
        self.write_id = write_id
        self.now = now
        self.absent = absent
        self.hidden = hidden
        self.version = 0
        self.id_hash = id_hash(action.id, write_id)
        self.state = None
        if state is not None and state.allows(action.points, self.id_hash, now, policy):
            self.state = state
        self.last = write_marker.encode(_marker(self))


def selector(attempt: WriteAttempt, policy: WritePolicy) -> Document:
    """The filter that lets exactly those attempts through that may be applied."""
    known = attempt.state
    if known is not None:  # `last` alone would do, were it not for hands that write to the database
        is_so = {"last": known.last, "score": known.score, "suspended": {"$ne": True}, "hidden": {"$ne": True}}
        return {"_id": attempt.action.user_id, **is_so}
    if attempt.absent and not policy.upsert_at_once:
        return {"_id": attempt.action.user_id, "score": {"$exists": False}}
    action, horizon = attempt.action, attempt.now - policy.limit.window_ms
    chosen: Document = {
        "_id": action.user_id,
        "score": {"$lte": MAX_SCORE - action.points},
        "recent.i": {"$ne": attempt.id_hash},
        "$nor": [{f"recent.{policy.limit.updates - 1}.t": {"$gt": horizon}}],
        "suspended": {"$ne": True},
        "hidden": True if attempt.hidden else {"$ne": True},
    }
    if policy.max_points is not None:
        chosen["$expr"] = {"$lte": [_window_sum(horizon), policy.max_points - action.points]}
    return chosen


def upsert(attempt: WriteAttempt, policy: WritePolicy) -> bool:
    """Whether the update may make the player. MongoDB takes no `$expr` with an upsert: a capped one comes second."""
    new = attempt.action.create_player and not attempt.hidden and attempt.state is None
    return new and (policy.upsert_at_once or attempt.absent)


def _window_sum(horizon: int) -> Document:
    entries = {"$filter": {"input": {"$ifNull": ["$recent", []]}, "as": "e", "cond": {"$gt": ["$$e.t", horizon]}}}
    return {"$sum": {"$map": {"input": entries, "as": "e", "in": "$$e.p"}}}


def update(attempt: WriteAttempt, policy: WritePolicy) -> Document:
    """The change itself: points, marker and memory in one."""
    action = attempt.action
    moment = datetime.fromtimestamp(attempt.now / 1000, UTC)
    entry = {
        "i": attempt.id_hash,
        "p": action.points,
        "t": attempt.now,
        "o": attempt.write_id,
        "r": action.fingerprint,
    }
    change: Document = {
        "$inc": {"score": action.points},
        "$set": {"updatedAt": moment, "last": attempt.last, **profile_fields(action.profile)},
        "$push": {"recent": {"$each": [entry], "$position": 0, "$slice": policy.idempotency_history_size}},
    }
    if action.create_player and attempt.state is None:
        change["$setOnInsert"] = {"createdAt": moment, "createdBy": attempt.write_id}
    return change


def _marker(attempt: WriteAttempt) -> WriteMarker:
    action = attempt.action
    return WriteMarker(
        Kind.ACTION, action.points, attempt.write_id, not attempt.hidden, attempt.now, action.caller, action.id,
        action.type, action.frontend,
    )  # fmt: skip


def profile_fields(profile: Profile) -> Document:
    """The members of a profile that are given, under their stored names."""
    fields = {"username": profile.username, "avatarUrl": profile.avatar_url}
    return {name: value for name, value in fields.items() if value is not None}


def applied(attempt: WriteAttempt, state: CachedPlayer, policy: WritePolicy, now: Document | None) -> Receipt:
    """The receipt of an attempt that was made on a known state. `state`: that after it; `now`: the document since."""
    action = attempt.action
    return Receipt(
        user_id=action.user_id,
        points=action.points,
        score=state.score,
        updated_at=attempt.now,
        created=False,
        replayed=False,
        rate_limit_state=rate_limit_state(state.times, attempt.now, policy),
        superseded_at=attempt.now if now is not None and now["score"] > state.score else None,
        version=attempt.version,
        action_id=action.id,
        action_type=action.type,
    )


def receipt(document: Document | None, attempt: WriteAttempt, policy: WritePolicy) -> Receipt | None:
    """What became of an attempt, told from the document as it is after it.

    None: nothing stands against the attempt, it merely lost a race and must be tried again. Raises what refused it.
    """
    if document is None:
        if policy.max_points is not None and attempt.action.points > policy.max_points:
            raise _above_cap(0, attempt, policy, RateLimitState(policy.limit.updates, 0.0))
        if attempt.action.create_player:
            return None
        raise PlayerNotFound(
            rate_limit_state=RateLimitState(policy.limit.updates, 0.0),
            detail=f"no player {attempt.action.user_id!r}, and this API creates none while auto_register is off",
        )
    since, newer = 0, None
    for entry in document.get("recent", ()):
        if entry["i"] == attempt.id_hash:
            if entry["r"] != attempt.action.fingerprint:
                raise ActionConflict(
                    rate_limit_state=_rate_limit_state(document, attempt.now, policy),
                    detail=f"action id {attempt.action.id!r} was used for other points or another type",
                )
            return _stored(document, entry, since, newer, attempt, policy)
        since, newer = since + entry["p"], entry
    refusal = _refusal(document, attempt, policy)
    if refusal is not None:
        raise refusal
    return None


def _stored(
    document: Document, entry: Document, since: int, newer: Document | None, attempt: WriteAttempt, policy: WritePolicy
) -> Receipt:
    """The receipt of a stored action. `newer`: the entry after it, and `since` the points of all after it."""
    return Receipt(
        user_id=attempt.action.user_id,
        points=int(entry["p"]),
        score=int(document["score"]) - since,
        updated_at=entry["t"],
        created=document.get("createdBy") == entry["o"],
        replayed=entry["o"] != attempt.write_id,
        rate_limit_state=_rate_limit_state(document, attempt.now, policy),
        superseded_at=None if newer is None else newer["t"],
        version=attempt.version,
        action_id=attempt.action.id,
        action_type=attempt.action.type,
    )


def _refusal(document: Document, attempt: WriteAttempt, policy: WritePolicy) -> LeaderboardError | None:
    rate_limit_state = _rate_limit_state(document, attempt.now, policy)
    if document.get("suspended"):
        return PlayerSuspended(rate_limit_state=rate_limit_state)
    if document["score"] > MAX_SCORE - attempt.action.points:
        return InvalidIncrement(
            f"The score would exceed the maximum, {MAX_SCORE}.",
            rate_limit_state=rate_limit_state,
            reason="score_overflow",
            detail=f"score {document['score']}, points {attempt.action.points}",
        )
    if rate_limit_state.remaining == 0:
        return rate_limited("score updates", "rate_limit", rate_limit_state, policy.limit)
    if policy.max_points is not None:
        spent = sum(entry["p"] for entry in _in_window(document, attempt.now, policy))
        if spent + attempt.action.points > policy.max_points:
            return _above_cap(spent, attempt, policy, rate_limit_state)
    return None


def rate_limited(what: str, setting: str, rate_limit_state: RateLimitState, limit: RateLimit) -> RateLimited:
    """The refusal of a player whose updates of the window are used up."""
    return RateLimited(
        f"Too many {what}: at most {limit.updates} in {limit.window:g} seconds. Try again later.",
        rate_limit_state=rate_limit_state,
        retry_after=rate_limit_state.reset,
        detail=f"{setting} {limit.updates}/{limit.window:g}s is used up, the next in {rate_limit_state.reset:.1f} s",
    )


def _above_cap(
    spent: int, attempt: WriteAttempt, policy: WritePolicy, rate_limit_state: RateLimitState
) -> SuspiciousActivity:
    points = f"{spent} points in the window and {attempt.action.points} now"
    return SuspiciousActivity(
        rate_limit_state=rate_limit_state,
        reason="points_cap",
        detail=f"{points}, max_points_per_window {policy.max_points}",
    )


def _in_window(document: Document, now: int, policy: WritePolicy) -> list[Document]:
    horizon = now - policy.limit.window_ms
    return [entry for entry in document.get("recent", ()) if entry["t"] > horizon]


def _rate_limit_state(document: Document, now: int, policy: WritePolicy) -> RateLimitState:
    return rate_limit_state([entry["t"] for entry in document.get("recent", ())[: policy.limit.updates]], now, policy)


def milliseconds(moment: datetime | None) -> int | None:
    """Milliseconds since the epoch; BSON keeps no more. Raw command replies carry naive times, which are UTC."""
    if moment is None:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def player(document: Document, version: int = 0) -> Player:
    """A player as the rest of the service knows it; its score a plain int, as no encoder takes BSON's Int64."""
    user_id = document["_id"]
    return Player(
        user_id=user_id,
        score=int(document["score"]),
        updated_at=milliseconds(document["updatedAt"]) or 0,
        username=document.get("ownUsername", document.get("username")) or user_id,
        avatar_url=document.get("ownAvatarUrl", document.get("avatarUrl")),
        version=version,
    )


def score_of(fields: Mapping[str, Any]) -> int | None:
    """The score as a plain int; None where it is no integer, which another program wrote."""
    score = fields.get("score")
    return int(score) if isinstance(score, int) and not isinstance(score, bool) else None
