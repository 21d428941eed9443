"""The status of a Leaderboard from what was observed: a pure function."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from leaderboard_operator import exposure, pods
from leaderboard_operator.conditions import Condition, Trouble, condition, dated
from leaderboard_operator.exposure import Exposure
from leaderboard_operator.resources.names import Board, Object

_SHORT_DIGEST = len("sha256:") + 12


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What a reconcile saw. Of `secrets` and `refusals` the first is told; `pending`: why pods are not replaced yet;
    `deletion`: what a deletion waits for."""

    board: Board
    generation: int
    now: datetime
    deployment: Object | None = None
    autoscaler: Object | None = None
    pods: list[Object] = []
    secrets: tuple[Trouble, ...] = ()
    deletion: Trouble | None = None
    refusals: tuple[Trouble, ...] = ()
    exposure: Exposure | None = None
    pending: Trouble | None = None

    @property
    def exposed(self) -> Exposure:
        """How the service is reached; before anything was made, what the spec alone says."""
        return self.exposure or exposure.exposure(self.board)


class Counts(msgspec.Struct, frozen=True):
    """Pods by what they are: asked for, there, of the latest revision, ready; `settled` when a rollout is over."""

    wanted: int
    there: int
    updated: int
    ready: int
    settled: bool


def counts(board: Board, deployment: Object | None) -> Counts:
    """Count the pods, as the Deployment's own status does."""
    return _counts(board.replicas, deployment)


def _counts(wanted: int, deployment: Object | None) -> Counts:
    found = deployment or {}
    status = found.get("status", {})
    there, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    current = status.get("observedGeneration", 0) >= found.get("metadata", {}).get("generation", 1)
    settled = current and updated == there == found.get("spec", {}).get("replicas")
    return Counts(wanted, there, updated, status.get("readyReplicas", 0), settled)


def rolled_out(deployment: Object) -> bool:
    """Whether all pods are of the latest revision and ready."""
    count = _counts(0, deployment)
    return count.settled and count.ready == count.there


def scaling_active(live: Object | None) -> bool | None:
    """Whether the HorizontalPodAutoscaler can compute a number of pods; None until its controller has reported."""
    found = condition(live, "ScalingActive")
    return found["status"] == "True" if found else None


def over(seen: Observed) -> bool:
    """Whether a rollout has ended: all pods are of the latest revision and ready, or it is stuck."""
    return rolled_out(seen.deployment or {}) or first_trouble(seen) is not None


def status(seen: Observed, before: dict[str, Any]) -> dict[str, Any]:
    """The status as it is to be; `before` is what stands there."""
    count = counts(seen.board, seen.deployment)
    return {
        "observedGeneration": seen.generation,
        "replicas": count.there,
        "readyReplicas": count.ready,
        "updatedReplicas": count.updated,
        "selector": ",".join(f"{name}={value}" for name, value in sorted(seen.board.selector.items())),
        "version": version(seen.board.image),
        "url": seen.exposed.url,
        "conditions": dated(conditions(seen, count), before.get("conditions", []), seen.generation, seen.now),
    }


def failed(why: Trouble, generation: int, before: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The status where a reconcile cannot be finished. What serves may serve on, but not as a newer spec asks for."""
    known = {each["type"]: each for each in before.get("conditions", [])}
    current = before.get("observedGeneration") == generation
    found = [Condition.of("Degraded", why, so=True)]
    if not current or known.get("Ready", {}).get("status") != "True":
        found += [
            Condition.of("Ready", why, so=False),
            Condition.of("Reconciling", why, so=False),
            Condition.of("Stalled", why, so=True),
        ]
    rows = {**known, **{each["type"]: each for each in dated(found, list(known.values()), generation, now)}}
    return {**before, "observedGeneration": generation, "conditions": list(rows.values())}


def conditions(seen: Observed, count: Counts) -> list[Condition]:
    """Every condition."""
    of = Condition.of
    trouble = first_trouble(seen)
    stalled = trouble if trouble is not None and _stuck(seen, count) else None
    return [
        _ready(seen, count, stalled),
        _reconciling(seen, count, stalled),
        of("Stalled", stalled or Trouble("NotStalled", ""), so=stalled is not None),
        of("Available", _available(count, trouble), so=count.ready > 0),
        _database(seen, count),
        of("SecretsReady", seen.secrets[0] if seen.secrets else Trouble("Found", ""), so=not seen.secrets),
        of("Degraded", trouble or Trouble("AsAsked", ""), so=trouble is not None),
        of("Exposed", seen.exposed.why, so=seen.exposed.so),
        of("UpdatePending", seen.pending or Trouble("NothingPending", ""), so=seen.pending is not None),
        *_autoscaling(seen),
    ]


def _autoscaling(seen: Observed) -> list[Condition]:
    """Whether the number of pods is being decided on; where an autoscaler is asked for."""
    if seen.board.spec.autoscaling is None:
        return []
    if seen.board.replicas == 0:
        why = Trouble("ScaledToZero", "spec.replicas is 0, which switches the autoscaler off; set it to 1 or more")
        return [Condition.of("AutoscalingActive", why, so=False)]
    found = condition(seen.autoscaler, "ScalingActive")
    if not found:
        why = Trouble("NotLooked", "The HorizontalPodAutoscaler's controller has not looked at it yet")
        return [Condition.of("AutoscalingActive", why, so=None)]
    why = Trouble(found.get("reason", "Unknown"), found.get("message", ""))
    return [Condition.of("AutoscalingActive", why, so=found["status"] == "True")]


def first_trouble(seen: Observed) -> Trouble | None:
    """What is wrong; that which others follow from comes first."""
    for found in (*seen.secrets, *seen.refusals):
        return found
    return _refused_pods(seen.deployment) or pods.trouble(seen.pods, seen.now) or _late(seen.deployment)


def version(image: str) -> str:
    """The version that an image's tag names; of an image that has only a digest, the beginning of that."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag or digest[:_SHORT_DIGEST] or "latest"


def _stuck(seen: Observed, count: Counts) -> bool:
    """Whether it takes a person: nothing serves, or what serves is not what was asked for."""
    return bool(seen.secrets or seen.refusals) or count.ready == 0 or not count.settled


def _ready(seen: Observed, count: Counts, stalled: Trouble | None) -> Condition:
    why = stalled or (None if seen.board.spec.paused else seen.deletion)
    if why is not None:
        return Condition.of("Ready", why, so=False)
    if count.ready:
        return Condition.of("Ready", Trouble("Serving", f"{count.ready} of {count.wanted} pods take requests"), so=True)
    if count.wanted == 0:
        return Condition.of("Ready", Trouble("ScaledToZero", "spec.replicas is 0: nothing serves"), so=False)
    return Condition.of("Ready", Trouble("Starting", "No pod takes requests yet"), so=False)


def _reconciling(seen: Observed, count: Counts, stalled: Trouble | None) -> Condition:
    """Never true beside Stalled: kstatus looks at Reconciling first, and would wait for what takes a person."""
    if seen.board.spec.paused:
        why = Trouble("Paused", "spec.paused is set: the operator changes nothing, and reports")
        return Condition.of("Reconciling", seen.deletion or why, so=False)
    if stalled is not None:
        return Condition.of("Reconciling", stalled, so=False)
    if seen.deletion is not None:
        return Condition.of("Reconciling", seen.deletion, so=True)
    if count.settled and count.ready == count.there:
        return Condition.of("Reconciling", Trouble("UpToDate", ""), so=False)
    text = f"{count.updated} of {count.wanted} pods are of the latest revision, {count.ready} take requests"
    return Condition.of("Reconciling", Trouble("RollingOut", text), so=True)


def _available(count: Counts, trouble: Trouble | None) -> Trouble:
    if count.ready:
        return Trouble("PodsReady", "")
    return trouble or Trouble("NoPodReady", "No pod takes requests")


def _database(seen: Observed, count: Counts) -> Condition:
    found = pods.database_trouble(seen.pods, seen.now)
    if found is not None:
        return Condition.of("DatabaseReady", found, so=False)
    if count.ready:
        return Condition.of("DatabaseReady", Trouble("Serving", ""), so=True)
    why = Trouble("NotTried", "No pod has told yet: the service itself tries its database")
    return Condition.of("DatabaseReady", why, so=None)


def _refused_pods(deployment: Object | None) -> Trouble | None:
    """Pods that the API server refuses to make: a quota, a policy."""
    failure = condition(deployment, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    text = failure.get("message", "")
    if "exceeded quota" in text:
        return Trouble("QuotaExceeded", f"A quota stops the pods: {text}. Raise it, or lower what the pods ask for")
    return Trouble("PodsRefused", f"Pods cannot be made: {text}")


def _late(deployment: Object | None) -> Trouble | None:
    if condition(deployment, "Progressing").get("reason") != "ProgressDeadlineExceeded":
        return None
    return Trouble("TooSlow", "The pods do not become ready. Look at `kubectl describe pod` and their logs")
