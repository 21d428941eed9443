"""The status of a Leaderboard, computed from the observed objects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from leaderboard_operator import Object, exposure, pods
from leaderboard_operator.conditions import Condition, Explanation, Problem, condition, with_times
from leaderboard_operator.exposure import Exposure
from leaderboard_operator.resources.view import LeaderboardView

_SHORT_DIGEST = len("sha256:") + 12


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What a reconcile observed. The status reports the first of `secrets` and `refusals`.

    `pending` explains why pods are not replaced yet, `deletion` what a deletion waits for.
    """

    leaderboard: LeaderboardView
    generation: int
    now: datetime
    deployment: Object | None = None
    autoscaler: Object | None = None
    pods: list[Object] = []
    secrets: tuple[Problem, ...] = ()
    deletion: Explanation | None = None
    refusals: tuple[Problem, ...] = ()
    exposure: Exposure | None = None
    pending: Explanation | None = None

    @property
    def exposed(self) -> Exposure:
        """The observed exposure; if no objects exist yet, the one that follows from the spec."""
        return self.exposure or exposure.exposure(self.leaderboard)


class Counts(msgspec.Struct, frozen=True):
    """Numbers of pods. `updated` pods are of the latest revision. `settled`: no rollout is under way."""

    desired: int
    existing: int
    updated: int
    ready: int
    settled: bool


def counts(leaderboard: LeaderboardView, deployment: Object | None) -> Counts:
    """The numbers of pods from the status of the Deployment."""
    return _counts(leaderboard.replicas, deployment)


def _counts(desired: int, deployment: Object | None) -> Counts:
    live = deployment or {}
    status = live.get("status", {})
    existing, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    current = status.get("observedGeneration", 0) >= live.get("metadata", {}).get("generation", 1)
    settled = current and updated == existing == live.get("spec", {}).get("replicas")
    return Counts(desired, existing, updated, status.get("readyReplicas", 0), settled)


def rolled_out(deployment: Object) -> bool:
    """Whether all pods are ready and of the latest revision."""
    count = _counts(0, deployment)
    return count.settled and count.ready == count.existing


def rollout_ended(observed: Observed) -> bool:
    """Whether no rollout is under way, or the rollout is stuck."""
    return rolled_out(observed.deployment or {}) or first_problem(observed) is not None


def scaling_active(live: Object | None) -> bool | None:
    """Whether the HorizontalPodAutoscaler can compute a number of pods; None until its controller has reported."""
    reported = condition(live, "ScalingActive")
    return reported["status"] == "True" if reported else None


def status(observed: Observed, before: dict[str, Any]) -> dict[str, Any]:
    """The new status. `before` is the current one."""
    count = counts(observed.leaderboard, observed.deployment)
    rows = with_times(conditions(observed, count), before.get("conditions", []), observed.generation, observed.now)
    return {
        "observedGeneration": observed.generation,
        "replicas": count.existing,
        "readyReplicas": count.ready,
        "updatedReplicas": count.updated,
        "selector": ",".join(f"{name}={value}" for name, value in sorted(observed.leaderboard.selector.items())),
        "version": version(observed.leaderboard.image),
        "url": observed.exposed.url,
        "conditions": rows,
    }


def failed_status(problem: Problem, generation: int, before: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The status after a reconcile that failed. `Ready` stays true only if it is about this generation."""
    previous = {row["type"]: row for row in before.get("conditions", [])}
    current = before.get("observedGeneration") == generation
    changed = [Condition.of("Degraded", problem, status=True)]
    if not current or previous.get("Ready", {}).get("status") != "True":
        changed += [
            Condition.of("Ready", problem, status=False),
            Condition.of("Reconciling", problem, status=False),
            Condition.of("Stalled", problem, status=True),
        ]
    rows = {row["type"]: row for row in with_times(changed, list(previous.values()), generation, now)}
    return {**before, "observedGeneration": generation, "conditions": list({**previous, **rows}.values())}


def conditions(observed: Observed, count: Counts) -> list[Condition]:
    """All conditions."""
    of = Condition.of
    problem = first_problem(observed)
    stalled = problem if problem is not None and _needs_action(observed, count) else None
    secrets = observed.secrets[0] if observed.secrets else Explanation("Found", "")
    return [
        _ready(observed, count, stalled),
        _reconciling(observed, count, stalled),
        of("Stalled", stalled or Explanation("NotStalled", ""), status=stalled is not None),
        of("Available", _availability(count, problem), status=count.ready > 0),
        _database(observed, count),
        of("SecretsReady", secrets, status=not observed.secrets),
        of("Degraded", problem or Explanation("AsSpecified", ""), status=problem is not None),
        of("Exposed", observed.exposed.explanation, status=observed.exposed.accepted),
        of(
            "UpdatePending",
            observed.pending or Explanation("NothingPending", ""),
            status=observed.pending is not None,
        ),
        *_autoscaling(observed),
    ]


def _autoscaling(observed: Observed) -> list[Condition]:
    """The condition AutoscalingActive, if the spec has an autoscaler."""
    if observed.leaderboard.spec.autoscaling is None:
        return []
    if observed.leaderboard.replicas == 0:
        text = "spec.replicas is 0, which disables the autoscaler; set it to 1 or more"
        return [Condition.of("AutoscalingActive", Explanation("ScaledToZero", text), status=False)]
    reported = condition(observed.autoscaler, "ScalingActive")
    if not reported:
        text = "The controller of the HorizontalPodAutoscaler has not reported yet"
        return [Condition.of("AutoscalingActive", Explanation("NotReported", text), status=None)]
    explanation = Explanation(reported.get("reason", "Unknown"), reported.get("message", ""))
    return [Condition.of("AutoscalingActive", explanation, status=reported["status"] == "True")]


def first_problem(observed: Observed) -> Problem | None:
    """The first problem. Causes come before their consequences."""
    for problem in (*observed.secrets, *observed.refusals):
        return problem
    return (
        _pod_creation_problem(observed.deployment)
        or pods.problem(observed.pods, observed.now)
        or _progress_problem(observed.deployment)
    )


def version(image: str) -> str:
    """The tag of an image; without a tag, the beginning of its digest."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag or digest[:_SHORT_DIGEST] or "latest"


def _needs_action(observed: Observed, count: Counts) -> bool:
    """Whether a problem needs a person: no pod serves, or those that serve are not of the latest revision."""
    return bool(observed.secrets or observed.refusals) or count.ready == 0 or not count.settled


def _ready(observed: Observed, count: Counts, stalled: Problem | None) -> Condition:
    explanation = stalled or (None if observed.leaderboard.spec.paused else observed.deletion)
    if explanation is not None:
        return Condition.of("Ready", explanation, status=False)
    if count.ready:
        serving = Explanation("Serving", f"{count.ready} of {count.desired} pods accept requests")
        return Condition.of("Ready", serving, status=True)
    if count.desired == 0:
        return Condition.of("Ready", Explanation("ScaledToZero", "spec.replicas is 0: no pod serves"), status=False)
    return Condition.of("Ready", Explanation("Starting", "No pod accepts requests yet"), status=False)


def _reconciling(observed: Observed, count: Counts, stalled: Problem | None) -> Condition:
    """Never true together with Stalled: kstatus reads Reconciling first, and would wait although a person must act."""
    if observed.leaderboard.spec.paused:
        paused = Explanation("Paused", "spec.paused is set: the operator changes nothing and only reports the status")
        return Condition.of("Reconciling", observed.deletion or paused, status=False)
    if stalled is not None:
        return Condition.of("Reconciling", stalled, status=False)
    if observed.deletion is not None:
        return Condition.of("Reconciling", observed.deletion, status=True)
    if count.settled and count.ready == count.existing:
        return Condition.of("Reconciling", Explanation("UpToDate", ""), status=False)
    text = f"{count.updated} of {count.desired} pods are of the latest revision, {count.ready} accept requests"
    return Condition.of("Reconciling", Explanation("RollingOut", text), status=True)


def _availability(count: Counts, problem: Problem | None) -> Explanation:
    if count.ready:
        return Explanation("PodsReady", "")
    return problem or Explanation("NoPodReady", "No pod accepts requests")


def _database(observed: Observed, count: Counts) -> Condition:
    problem = pods.database_problem(observed.pods, observed.now)
    if problem is not None:
        return Condition.of("DatabaseReady", problem, status=False)
    if count.ready:
        return Condition.of("DatabaseReady", Explanation("Serving", ""), status=True)
    text = "No pod has reported yet: the service itself checks its database"
    return Condition.of("DatabaseReady", Explanation("NotChecked", text), status=None)


def _pod_creation_problem(deployment: Object | None) -> Problem | None:
    """Pods that the API server refuses to create, because of a quota or a policy."""
    failure = condition(deployment, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    text = failure.get("message", "")
    if "exceeded quota" in text:
        return Problem(
            "QuotaExceeded", f"A quota prevents the pods: {text}. Raise it, or lower the requests of the pods"
        )
    return Problem("PodsRefused", f"Pods cannot be created: {text}")


def _progress_problem(deployment: Object | None) -> Problem | None:
    if condition(deployment, "Progressing").get("reason") != "ProgressDeadlineExceeded":
        return None
    text = "The pods do not become ready in time. Check `kubectl describe pod` and their logs"
    return Problem("ProgressDeadlineExceeded", text)
