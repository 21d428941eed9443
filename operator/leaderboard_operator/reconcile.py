"""The reconcile of one Leaderboard: read all objects, write the differences, report the status."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from leaderboard_operator import Object, deletion, events, exposure, pods, rollouts, secret_refs
from leaderboard_operator.cluster import Cluster, Collection, controller_uid, leaderboards
from leaderboard_operator.conditions import Explanation, Problem
from leaderboard_operator.metrics import Metrics
from leaderboard_operator.monitoring import Routing, objective_targets
from leaderboard_operator.owned_objects import Kinds, LiveObjects, OwnedObjects
from leaderboard_operator.resources import LeaderboardView
from leaderboard_operator.resources.deployment import resources
from leaderboard_operator.resources.secrets import secret_keys
from leaderboard_operator.resources.view import Key
from leaderboard_operator.rollouts import Rollouts
from leaderboard_operator.secret_refs import SecretState
from leaderboard_operator.spec import Spec, quantity
from leaderboard_operator.status import (
    Observed,
    counts,
    failed_status,
    rolled_out,
    rollout_ended,
    scaling_active,
    status,
)

log = logging.getLogger(__name__)


MIN_RECHECK_SECONDS, MAX_RECHECK_SECONDS = 10.0, 160.0
"""Time until a Leaderboard that differs from its spec is reconciled without an event. It doubles while nothing changes.
Up to 20 % are added, so that the Leaderboards of one outage are not reconciled at once."""


class Outcome(msgspec.Struct, frozen=True):
    """`requeue_after`: seconds until the next reconcile; None: at the next event. `failed`: retry with backoff."""

    requeue_after: float | None = None
    failed: bool = False


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What all Leaderboards of an operator share. `app_image` is the image of those without `spec.image`.

    `max_rollouts` limits how many Leaderboards replace their pods at the same time after an upgrade; 0 is no limit.
    """

    app_image: str
    monitoring_labels: dict[str, str] = {}
    routing: Routing = Routing()
    max_rollouts: int = 0


class Reconciler:
    """Reconciles Leaderboards. `enqueue` is called with other Leaderboards that may start their rollout."""

    def __init__(
        self, cluster: Cluster, metrics: Metrics, defaults: Defaults, *, enqueue: Callable[[Key], None]
    ) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._defaults = defaults
        self._owned = OwnedObjects(cluster)
        self._rollouts = Rollouts(defaults.max_rollouts, enqueue)
        self._uids: dict[Key, str] = {}
        self._secrets: dict[Key, set[str]] = {}
        self._rechecks: dict[Key, int] = {}

    async def discover(self) -> Kinds:
        """Determine the kinds of objects that the cluster has. Call it before the first reconcile."""
        return await self._owned.discover()

    def secret_users(self, namespace: str, secret: str) -> list[Key]:
        """The Leaderboards that refer to a Secret."""
        return [key for key, names in self._secrets.items() if key[0] == namespace and secret in names]

    def inherit_rollouts(self, deployments: dict[Key, Object]) -> None:
        """Count the rollouts that an earlier leader started, until each Leaderboard is reconciled."""
        for key, live in deployments.items():
            if not rolled_out(live):
                self._rollouts.inherit(key)

    async def reconcile(self, key: Key) -> Outcome:
        """Reconcile one Leaderboard. It is safe to repeat after any exception."""
        live = await self._cluster.find(leaderboards(key[0])(key[1]))
        if live is None:
            self._forget(key)
            return Outcome()
        self._record(key, live)
        try:
            leaderboard = self._view(live)
        except msgspec.ValidationError as error:
            self._rollouts.forget(key)
            return await self._report_invalid(live, error)
        self._secrets[key] = {ref.name for ref in secret_keys(leaderboard.spec).values()}
        secrets = await secret_refs.read(self._cluster, leaderboard.namespace, leaderboard.spec)
        leaderboard = msgspec.structs.replace(leaderboard, secrets_hash=secrets.digest)
        if "deletionTimestamp" in live["metadata"]:
            self._rollouts.forget(key)
            return await self._delete(live, leaderboard, secrets)
        if not leaderboard.spec.paused:
            delete_database = leaderboard.spec.database.deletion_policy == "Delete"
            await deletion.set_finalizer(self._cluster, live, wanted=delete_database)
        observed = await self._apply_and_observe(live, leaderboard, secrets)
        self._rollouts.update(leaderboard, ended=leaderboard.spec.paused or rollout_ended(observed))
        self._update_metrics(key, leaderboard, observed)
        changed = await self._write_status(live, status(observed, live.get("status", {})))
        return self._outcome(key, observed, changed=changed)

    async def report(self, key: Key, text: str) -> None:
        """Report in the status that reconciles fail. Other Leaderboards do not wait for this rollout any more."""
        self._rollouts.forget(key)
        live = await self._cluster.find(leaderboards(key[0])(key[1]))
        if live is not None:
            await self._report_failure(live, Problem("ReconcileError", f"The operator cannot reconcile: {text}"))

    def _record(self, key: Key, live: Object) -> None:
        uid = live["metadata"]["uid"]
        if self._uids.get(key, uid) != uid:
            self._owned.forget(self._uids[key])
        self._uids[key] = uid
        self._metrics.set_generation(
            key, live["metadata"]["generation"], live.get("status", {}).get("observedGeneration", 0)
        )

    async def _report_invalid(self, live: Object, error: msgspec.ValidationError) -> Outcome:
        """Report a spec that the API server accepts and the operator cannot read."""
        meta = live["metadata"]
        if "deletionTimestamp" in meta and await deletion.namespace_terminates(self._cluster, meta["namespace"]):
            await deletion.set_finalizer(self._cluster, live, wanted=False)
            return Outcome()
        await self._report_failure(live, Problem("Invalid", f"The spec is invalid: {error}. Correct it"))
        return Outcome()

    async def _report_failure(self, live: Object, problem: Problem) -> None:
        before, generation = live.get("status", {}), live["metadata"]["generation"]
        await self._write_status(live, failed_status(problem, generation, before, datetime.now(UTC)))

    def _update_metrics(self, key: Key, leaderboard: LeaderboardView, observed: Observed) -> None:
        autoscaling = leaderboard.spec.autoscaling
        ready = counts(leaderboard, observed.deployment).ready
        self._metrics.set_replicas(key, leaderboard.replicas, ready, leaderboard.max_replicas)
        self._metrics.set_autoscaler(
            key,
            min_replicas=autoscaling.min_replicas if autoscaling is not None else None,
            active=scaling_active(observed.autoscaler),
        )
        targets = objective_targets(leaderboard.spec.monitoring.slo)
        self._metrics.set_spec(key, targets, quantity.numbers(resources(leaderboard)))

    def _view(self, live: Object) -> LeaderboardView:
        spec = msgspec.convert(live["spec"], Spec)
        meta = live["metadata"]
        return LeaderboardView(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            spec=spec,
            image=spec.image or self._defaults.app_image,
            monitoring_labels=self._defaults.monitoring_labels,
            routing=self._defaults.routing,
        )

    def _hold_rollout(
        self, leaderboard: LeaderboardView, live: LiveObjects
    ) -> tuple[LeaderboardView, Explanation | None]:
        """The Leaderboard with its existing pods if they must not be replaced yet, and the explanation.

        Pods without their ConfigMap could not restart. They are replaced at once, with the new ConfigMap.
        """
        deployment = live.deployment(leaderboard.name)
        if deployment is not None and not live.has_settings(deployment):
            return leaderboard, None
        pending = self._rollouts.hold(leaderboard, deployment)
        if pending is None or deployment is None:
            return leaderboard, None
        return msgspec.structs.replace(leaderboard, kept=rollouts.kept(deployment)), pending

    async def _apply_and_observe(self, live: Object, leaderboard: LeaderboardView, secrets: SecretState) -> Observed:
        objects = await self._owned.find(leaderboard)
        leaderboard, pending = self._hold_rollout(leaderboard, objects)
        refusals: list[Problem] = []
        if not leaderboard.spec.paused:
            held = bool(secrets.problems)
            refusals = await self._owned.apply(leaderboard, objects, held=held)
            refusals += self._owned.missing_kinds(leaderboard, objects)
            settled = counts(leaderboard, objects.deployment(leaderboard.name)).settled
            await self._owned.prune(leaderboard, objects, settled=settled and not (held or refusals or pending))
        return Observed(
            leaderboard=leaderboard,
            generation=live["metadata"]["generation"],
            now=datetime.now(UTC),
            deployment=objects.deployment(leaderboard.name),
            autoscaler=objects.get("horizontalpodautoscalers", leaderboard.name),
            pods=await self._cluster.list(Collection("v1", "pods", leaderboard.namespace)(), leaderboard.labels),
            secrets=secrets.problems,
            refusals=tuple(refusals),
            pending=pending,
            exposure=exposure.exposure(
                leaderboard,
                service=objects.get("services", leaderboard.name),
                ingress=objects.get("ingresses", leaderboard.name),
                route=objects.get("httproutes", leaderboard.name),
                gateways=await self._owned.gateways(leaderboard),
            ),
        )

    async def _write_status(self, live: Object, after: Object) -> bool:
        """Write the status and its Events if the status has changed. Returns whether it has."""
        before, meta = live.get("status", {}), live["metadata"]
        self._metrics.set_status((meta["namespace"], meta["name"]), after)
        if after == before:
            return False
        path = leaderboards(meta["namespace"])(meta["name"], "status")
        patch = {
            "apiVersion": live["apiVersion"],
            "kind": live["kind"],
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "status": after,
        }
        await self._cluster.apply(path, patch)
        self._metrics.set_generation((meta["namespace"], meta["name"]), meta["generation"], after["observedGeneration"])
        for type_, reason, message in events.transitions(before.get("conditions", []), after["conditions"]):
            level = logging.WARNING if type_ == "Warning" else logging.INFO
            log.log(level, message, extra={"event": "condition", "reason": reason})
            await events.post(self._cluster, live, type_, reason, message)
        return True

    async def _delete(self, live: Object, leaderboard: LeaderboardView, secrets: SecretState) -> Outcome:
        """Release the finalizer after the database is dropped, or if it is kept."""
        if deletion.FINALIZER not in live["metadata"].get("finalizers", []):
            return Outcome()
        if await deletion.namespace_terminates(self._cluster, leaderboard.namespace):
            return await self._release(live, deletion.kept_with_namespace(leaderboard))
        if leaderboard.spec.paused:
            paused = Explanation("PausedDeletion", "spec.paused is set: the deletion continues when it is false")
            await self._report_deletion(live, leaderboard, secrets, paused)
            return Outcome()
        if leaderboard.spec.database.deletion_policy != "Delete":
            await deletion.keep_database(self._cluster, leaderboard)
            return await self._release(live)
        progress = await deletion.drop_database(self._cluster, leaderboard, secrets)
        if progress.done:
            return await self._release(live, progress.explanation)
        await self._report_deletion(live, leaderboard, secrets, progress.explanation)
        return Outcome(failed=True)

    async def _release(self, live: Object, explanation: Explanation | None = None) -> Outcome:
        """Remove the finalizer, so that the API server deletes the Leaderboard."""
        if explanation is not None:
            type_ = "Warning" if explanation.reason == "DatabaseKept" else "Normal"
            log.warning(explanation.message, extra={"event": "deletion", "reason": explanation.reason})
            await events.post(self._cluster, live, type_, explanation.reason, explanation.message)
        await deletion.set_finalizer(self._cluster, live, wanted=False)
        return Outcome()

    async def _report_deletion(
        self, live: Object, leaderboard: LeaderboardView, secrets: SecretState, explanation: Explanation
    ) -> None:
        """Report what the deletion waits for, and the pods that still serve."""
        path = Collection("apps/v1", "deployments", leaderboard.namespace)(leaderboard.name)
        deployment = await self._cluster.find(path)
        observed = Observed(
            leaderboard=leaderboard,
            generation=live["metadata"]["generation"],
            now=datetime.now(UTC),
            deployment=deployment if deployment and controller_uid(deployment) == leaderboard.uid else None,
            secrets=secrets.problems if leaderboard.spec.paused else (),
            deletion=explanation,
            refusals=(explanation,) if isinstance(explanation, Problem) else (),
        )
        await self._write_status(live, status(observed, live.get("status", {})))

    def _forget(self, key: Key) -> None:
        self._owned.forget(self._uids.pop(key, ""))
        self._secrets.pop(key, None)
        self._rollouts.forget(key)
        self._rechecks.pop(key, None)
        self._metrics.forget(key)

    def _outcome(self, key: Key, observed: Observed, *, changed: bool) -> Outcome:
        count = counts(observed.leaderboard, observed.deployment)
        if observed.refusals:
            return Outcome(failed=True)
        as_specified = count.settled and count.ready == count.desired and not observed.secrets
        if observed.leaderboard.spec.paused or as_specified:
            self._rechecks.pop(key, None)
            return Outcome()
        rechecks = self._rechecks[key] = 0 if changed else self._rechecks.get(key, -1) + 1
        wait = min(MIN_RECHECK_SECONDS * 2**rechecks, MAX_RECHECK_SECONDS) * random.uniform(1.0, 1.2)  # noqa: S311
        grace = pods.grace_left(observed.pods, observed.now)
        return Outcome(requeue_after=wait if grace is None else min(wait, grace.total_seconds() + 1.0))
