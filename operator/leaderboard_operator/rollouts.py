"""Limits how many Leaderboards replace their pods at the same time after an upgrade of the operator.

A newer operator may change the pods of all Leaderboards: the default image, the settings or the pod template. Only a
limited number of Leaderboards applies such a change at a time, and one with `spec.update: Manual` waits for a change of
its spec. A change of the Leaderboard itself is applied at once.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from leaderboard_operator import Object
from leaderboard_operator.conditions import Explanation
from leaderboard_operator.resources.deployment import SECRETS_HASH, SPEC_HASH, TEMPLATE_HASH, deployment
from leaderboard_operator.resources.view import Key, LeaderboardView

_HASHES = (TEMPLATE_HASH, SPEC_HASH)


class ChangeSource(enum.Enum):
    """The source of a difference between desired and existing pods."""

    NONE = "no difference"
    LEADERBOARD = "the Leaderboard or one of its Secrets"
    OPERATOR = "the operator"


def change_source(leaderboard: LeaderboardView, live: Object | None) -> ChangeSource:
    """The source of the change that would replace the pods of the live Deployment."""
    if live is None:
        return ChangeSource.LEADERBOARD
    wanted = deployment(leaderboard)
    current, new = _annotations(live), _annotations(wanted)
    if current.get(TEMPLATE_HASH) == new[TEMPLATE_HASH]:
        return ChangeSource.NONE
    same_spec = current.get(SPEC_HASH, new[SPEC_HASH]) == new[SPEC_HASH]
    return (
        ChangeSource.OPERATOR
        if same_spec and _secrets_hash(live) == _secrets_hash(wanted)
        else ChangeSource.LEADERBOARD
    )


def kept(live: Object) -> Object:
    """Template and annotations of a live Deployment whose pods must not be replaced yet (`LeaderboardView.kept`)."""
    template = msgspec.json.decode(msgspec.json.encode(live["spec"]["template"]))
    template["metadata"].pop("creationTimestamp", None)
    annotations = {name: value for name, value in _annotations(live).items() if name in _HASHES}
    return {"template": template, "annotations": annotations}


class Rollouts:
    """The Leaderboards that replace their pods, at most `limit` (0: any number), and those that wait.

    `enqueue` is called with a waiting Leaderboard when it may start.
    """

    def __init__(self, limit: int, enqueue: Callable[[Key], None]) -> None:
        self._limit = limit
        self._enqueue = enqueue
        self._active: set[Key] = set()
        self._inherited: set[Key] = set()
        self._waiting: dict[Key, None] = {}

    def hold(self, leaderboard: LeaderboardView, live: Object | None) -> Explanation | None:
        """Why the pods must not be replaced yet; None if they may be, or if there is no difference."""
        key = (leaderboard.namespace, leaderboard.name)
        if leaderboard.spec.paused or change_source(leaderboard, live) is not ChangeSource.OPERATOR:
            self._stop_waiting(key)
            return None
        if key in self._active:
            return None
        if leaderboard.spec.update == "Manual":
            self._stop_waiting(key)
            text = "The operator replaces the pods when the spec changes or spec.update is Automatic"
            return Explanation("UpdateHeld", text)
        others = self._running - {key}
        if 0 < self._limit <= len(others):
            self._waiting[key] = None
            text = f"The operator replaces the pods after those of {len(others)} other Leaderboards"
            return Explanation("UpdateWaits", text)
        self._waiting.pop(key, None)
        self._active.add(key)
        self._enqueue_next()  # if two others ended at once, both enqueued this Leaderboard
        return None

    def inherit(self, key: Key) -> None:
        """Count a rollout that an earlier leader started, until `update` or `forget` is called."""
        self._inherited.add(key)

    def update(self, leaderboard: LeaderboardView, *, ended: bool) -> None:
        """Record whether the rollout has ended. A stuck rollout has ended too, so that no other waits for it."""
        key = (leaderboard.namespace, leaderboard.name)
        if not ended:
            self._active.add(key)
            self._inherited.discard(key)
        elif key in self._running:
            self.forget(key)

    def forget(self, key: Key) -> None:
        """Remove a Leaderboard whose rollout has ended or that was deleted, and let the next one start."""
        self._active.discard(key)
        self._inherited.discard(key)
        self._waiting.pop(key, None)
        self._enqueue_next()

    def _stop_waiting(self, key: Key) -> None:
        """Remove a waiting Leaderboard. It may have been enqueued to start, so the next one is enqueued."""
        if key in self._waiting:
            del self._waiting[key]
            self._enqueue_next()

    def _enqueue_next(self) -> None:
        if self._waiting and (self._limit == 0 or len(self._running) < self._limit):
            self._enqueue(next(iter(self._waiting)))

    @property
    def _running(self) -> set[Key]:
        return self._active | self._inherited


def _annotations(deployment: Object) -> dict[str, str]:
    annotations: dict[str, str] = deployment["metadata"].get("annotations", {})
    return annotations


def _secrets_hash(deployment: Object) -> str | None:
    annotations: dict[str, str] = deployment["spec"]["template"]["metadata"].get("annotations", {})
    return annotations.get(SECRETS_HASH)
