"""When pods may be replaced: at once for a change of the Leaderboard's own, a few Leaderboards at a time for the rest.

The rest is what a newer operator brings: another default image, other settings, another shape of the pods. It would
replace the pods of all Leaderboards at the same moment. Instead Leaderboards take turns, and one with
`spec.update: Manual` waits for a change of its spec.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from leaderboard_operator.conditions import Trouble
from leaderboard_operator.resources.deployment import ASKED_HASH, SECRETS_HASH, TEMPLATE_HASH, deployment
from leaderboard_operator.resources.names import Board, Key, Object

_OF_DEPLOYMENT = (TEMPLATE_HASH, ASKED_HASH)


class Cause(enum.Enum):
    """Why the pods that are wanted differ from those that are there."""

    NONE = "they do not"
    OWN = "the Leaderboard, or a Secret of it, has changed"
    OPERATOR = "the operator has"


def cause(board: Board, live: Object | None) -> Cause:
    """Why the pods of the live Deployment are to be replaced."""
    if live is None:
        return Cause.OWN
    wanted = deployment(board)
    have, want = _annotations(live), _annotations(wanted)
    if have.get(TEMPLATE_HASH) == want[TEMPLATE_HASH]:
        return Cause.NONE
    same_spec = have.get(ASKED_HASH, want[ASKED_HASH]) == want[ASKED_HASH]
    return Cause.OPERATOR if same_spec and _secrets(live) == _secrets(wanted) else Cause.OWN


def kept(live: Object) -> Object:
    """What stays of a live Deployment whose pods are not to be replaced yet: `Board.kept`."""
    template = msgspec.json.decode(msgspec.json.encode(live["spec"]["template"]))
    template["metadata"].pop("creationTimestamp", None)
    annotations = {name: value for name, value in _annotations(live).items() if name in _OF_DEPLOYMENT}
    return {"template": template, "annotations": annotations}


class Rollouts:
    """The Leaderboards that are being updated, `limit` at most (0: any number), and those that wait for their turn.

    `enqueue` is called with one that waits when a turn is free.
    """

    def __init__(self, limit: int, enqueue: Callable[[Key], None]) -> None:
        self._limit = limit
        self._enqueue = enqueue
        self._under_way: set[Key] = set()
        self._found: set[Key] = set()
        self._waiting: dict[Key, None] = {}

    def hold(self, board: Board, live: Object | None) -> Trouble | None:
        """Why the pods must stay as they are for now; None where they may be replaced, or need not."""
        key = (board.namespace, board.name)
        if board.spec.paused or cause(board, live) is not Cause.OPERATOR:
            self._leave(key)
            return None
        if key in self._under_way:
            return None
        if board.spec.update == "Manual":
            self._leave(key)
            text = "This operator would replace the pods. They stay until the spec changes, or update is Automatic"
            return Trouble("UpdateHeld", text)
        others = self._busy - {key}
        if 0 < self._limit <= len(others):
            self._waiting[key] = None
            text = f"The pods are to be replaced after those of {len(others)} other Leaderboards"
            return Trouble("UpdateWaits", text)
        self._waiting.pop(key, None)
        self._under_way.add(key)
        self._call_next()  # of two turns that came free at once, both were offered to this one
        return None

    def found(self, key: Key) -> None:
        """A rollout that another operator began is under way: it counts until `saw` or `forget` is called."""
        self._found.add(key)

    def saw(self, board: Board, *, over: bool) -> None:
        """What became of the pods: `over` when a rollout has ended, or is stuck, which keeps no other waiting."""
        key = (board.namespace, board.name)
        if not over:
            self._under_way.add(key)
            self._found.discard(key)
        elif key in self._busy:
            self.forget(key)

    def forget(self, key: Key) -> None:
        """A Leaderboard is gone, or its rollout over: the turn is another's."""
        self._under_way.discard(key)
        self._found.discard(key)
        self._waiting.pop(key, None)
        self._call_next()

    def _leave(self, key: Key) -> None:
        """One that waited does not need its turn, which may have been offered to it."""
        if key in self._waiting:
            del self._waiting[key]
            self._call_next()

    def _call_next(self) -> None:
        if self._waiting and (self._limit == 0 or len(self._busy) < self._limit):
            self._enqueue(next(iter(self._waiting)))

    @property
    def _busy(self) -> set[Key]:
        return self._under_way | self._found


def _annotations(found: Object) -> dict[str, str]:
    annotations: dict[str, str] = found["metadata"].get("annotations", {})
    return annotations


def _secrets(found: Object) -> str | None:
    annotations: dict[str, str] = found["spec"]["template"]["metadata"].get("annotations", {})
    return annotations.get(SECRETS_HASH)
