"""One Leaderboard brought to what its spec says: read all, write what differs, tell. Any event leads here."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from leaderboard_operator import deletion, events, exposure, pods, rollouts, secretkeys
from leaderboard_operator.children import Children, Found, Kinds
from leaderboard_operator.cluster import Cluster, Collection, controller_uid, leaderboards
from leaderboard_operator.conditions import Trouble
from leaderboard_operator.metrics import Metrics
from leaderboard_operator.monitoring import Routing, promised
from leaderboard_operator.resources import Board
from leaderboard_operator.resources.container import resources
from leaderboard_operator.resources.names import Key
from leaderboard_operator.resources.secrets import secret_keys
from leaderboard_operator.rollouts import Rollouts
from leaderboard_operator.secretkeys import Keys
from leaderboard_operator.spec import Spec, quantity
from leaderboard_operator.status import Observed, counts, failed, over, rolled_out, scaling_active, status

log = logging.getLogger(__name__)

Object = dict[str, Any]

LOOK_AGAIN, LOOK_SELDOM = 10.0, 160.0
"""Seconds until a Leaderboard that is not as asked is looked at again without an event: doubled while nothing changes,
up to the second. Up to a fifth more, so that those of one outage do not come at once."""


class Outcome(msgspec.Struct, frozen=True):
    """`again`: seconds until it is to be looked at again, None is when something happens; `failed` asks for backoff."""

    again: float | None = None
    failed: bool = False


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What all Leaderboards of an operator have in common. `app_image` is for those that name none.

    `max_rollouts`: how many an update by the operator replaces the pods of at the same time; 0 is all.
    """

    app_image: str
    monitoring_labels: dict[str, str] = {}
    routing: Routing = Routing()
    max_rollouts: int = 0


class Reconciler:
    """Brings Leaderboards to what they ask for. `enqueue`: puts in others, whose turn to roll out has come."""

    def __init__(
        self, cluster: Cluster, metrics: Metrics, defaults: Defaults, *, enqueue: Callable[[Key], None]
    ) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._defaults = defaults
        self._children = Children(cluster)
        self._rollouts = Rollouts(defaults.max_rollouts, enqueue)
        self._uids: dict[Key, str] = {}
        self._secrets: dict[Key, set[str]] = {}
        self._looks: dict[Key, int] = {}

    async def discover(self) -> Kinds:
        """Find out which kinds of objects the cluster knows. Nothing is reconciled before."""
        return await self._children.discover()

    def users(self, namespace: str, secret: str) -> list[Key]:
        """The Leaderboards that use a Secret."""
        return [key for key, names in self._secrets.items() if key[0] == namespace and secret in names]

    def resume(self, deployments: dict[Key, Object]) -> None:
        """Count the rollouts that are under way when this operator begins to lead, until it looks at each."""
        for key, live in deployments.items():
            if not rolled_out(live):
                self._rollouts.found(key)

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one Leaderboard to its spec. After an exception it is done again from the start."""
        live = await self._cluster.find(leaderboards(key[0])(key[1]))
        if live is None:
            self._forget(key)
            return Outcome()
        self._know(key, live)
        try:
            board = self._board(live)
        except msgspec.ValidationError as error:
            self._rollouts.forget(key)
            return await self._invalid(live, error)
        self._secrets[key] = {ref.name for ref in secret_keys(board.spec).values()}
        keys = await secretkeys.read(self._cluster, board.namespace, board.spec)
        board = msgspec.structs.replace(board, secrets_hash=keys.digest)
        if "deletionTimestamp" in live["metadata"]:
            self._rollouts.forget(key)
            return await self._delete(live, board, keys)
        if not board.spec.paused:
            await deletion.set_finalizer(self._cluster, live, wanted=board.spec.database.deletion_policy == "Delete")
        seen = await self._bring(live, board, keys)
        self._rollouts.saw(board, over=board.spec.paused or over(seen))
        self._show(key, board, seen)
        changed = await self._tell(live, status(seen, live.get("status", {})))
        return self._outcome(key, seen, changed=changed)

    async def report(self, key: Key, text: str) -> None:
        """Write into the status that reconciles of a Leaderboard fail, which keeps no other from its rollout."""
        self._rollouts.forget(key)
        live = await self._cluster.find(leaderboards(key[0])(key[1]))
        if live is not None:
            await self._report_failure(live, Trouble("ReconcileError", f"The operator cannot finish its work: {text}"))

    def _know(self, key: Key, live: Object) -> None:
        uid = live["metadata"]["uid"]
        if self._uids.get(key, uid) != uid:
            self._children.forget(self._uids[key])
        self._uids[key] = uid
        self._metrics.show_generation(
            key, live["metadata"]["generation"], live.get("status", {}).get("observedGeneration", 0)
        )

    async def _invalid(self, live: Object, error: msgspec.ValidationError) -> Outcome:
        """What the API server accepts and the operator cannot read: trouble of this Leaderboard alone."""
        meta = live["metadata"]
        if "deletionTimestamp" in meta and await deletion.namespace_ends(self._cluster, meta["namespace"]):
            await deletion.set_finalizer(self._cluster, live, wanted=False)
            return Outcome()
        await self._report_failure(live, Trouble("Invalid", f"The spec cannot be read: {error}. Correct it"))
        return Outcome()

    async def _report_failure(self, live: Object, why: Trouble) -> None:
        before, generation = live.get("status", {}), live["metadata"]["generation"]
        await self._tell(live, failed(why, generation, before, datetime.now(UTC)))

    def _show(self, key: Key, board: Board, seen: Observed) -> None:
        scaling = board.spec.autoscaling
        least = scaling.min_replicas if scaling is not None else None
        self._metrics.show_replicas(key, board.replicas, counts(board, seen.deployment).ready, board.most_replicas)
        self._metrics.show_autoscaler(key, least=least, active=scaling_active(seen.autoscaler))
        promises = promised(board.spec.monitoring.slo)
        self._metrics.show_spec(key, promises, quantity.numbers(resources(board)))

    def _board(self, live: Object) -> Board:
        spec = msgspec.convert(live["spec"], Spec)
        meta = live["metadata"]
        return Board(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            spec=spec,
            image=spec.image or self._defaults.app_image,
            monitoring_labels=self._defaults.monitoring_labels,
            routing=self._defaults.routing,
        )

    def _paced(self, board: Board, found: Found) -> tuple[Board, Trouble | None]:
        """The Leaderboard as its pods may be now, and why they may not be replaced yet.

        Pods whose ConfigMap is gone cannot start again: they are replaced at once, by ones that have the new ConfigMap.
        """
        deployment = found.deployment(board.name)
        if deployment is not None and not found.has_settings(deployment):
            return board, None
        pending = self._rollouts.hold(board, deployment)
        if pending is None or deployment is None:
            return board, None
        return msgspec.structs.replace(board, kept=rollouts.kept(deployment)), pending

    async def _bring(self, live: Object, board: Board, keys: Keys) -> Observed:
        found = await self._children.find(board)
        board, pending = self._paced(board, found)
        refusals: list[Trouble] = []
        if not board.spec.paused:
            held = bool(keys.troubles)
            refusals = await self._children.apply(board, found, held=held)
            refusals += self._children.missing(board, found)
            settled = counts(board, found.deployment(board.name)).settled
            await self._children.prune(board, found, settled=settled and not (held or refusals or pending))
        return Observed(
            board=board,
            generation=live["metadata"]["generation"],
            now=datetime.now(UTC),
            deployment=found.deployment(board.name),
            autoscaler=found.autoscaler(board.name),
            pods=await self._cluster.list(Collection("v1", "pods", board.namespace)(), board.labels),
            secrets=keys.troubles,
            refusals=tuple(refusals),
            pending=pending,
            exposure=exposure.exposure(
                board,
                service=found.exposed("services", board.name),
                ingress=found.exposed("ingresses", board.name),
                route=found.exposed("httproutes", board.name),
                gateways=await self._children.gateways(board),
            ),
        )

    async def _tell(self, live: Object, after: Object) -> bool:
        """Write the status and the Events, if it is another than it was; whether it is."""
        before, meta = live.get("status", {}), live["metadata"]
        self._metrics.show((meta["namespace"], meta["name"]), after)
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
        self._metrics.show_generation(
            (meta["namespace"], meta["name"]), meta["generation"], after["observedGeneration"]
        )
        for type_, reason, message in events.transitions(before.get("conditions", []), after["conditions"]):
            level = logging.WARNING if type_ == "Warning" else logging.INFO
            log.log(level, message, extra={"event": "condition", "reason": reason})
            await events.post(self._cluster, live, type_, reason, message)
        return True

    async def _delete(self, live: Object, board: Board, keys: Keys) -> Outcome:
        """Release the finalizer once the database is dropped, is to stay, or cannot be dropped any more."""
        if deletion.FINALIZER not in live["metadata"].get("finalizers", []):
            return Outcome()
        if await deletion.namespace_ends(self._cluster, board.namespace):
            return await self._release(live, deletion.kept_with_namespace(board))
        if board.spec.paused:
            why = Trouble("PausedDeletion", "spec.paused is set: the deletion goes on once it is false")
            await self._report_deletion(live, board, keys, why)
            return Outcome()
        if board.spec.database.deletion_policy != "Delete":
            await deletion.keep_database(self._cluster, board)
            return await self._release(live)
        step = await deletion.drop_database(self._cluster, board, keys)
        if step.done:
            return await self._release(live, step.why)
        await self._report_deletion(live, board, keys, step.why, stuck=step.stuck)
        return Outcome(failed=True)

    async def _release(self, live: Object, why: Trouble | None = None) -> Outcome:
        """Let the API server delete the Leaderboard."""
        if why is not None:
            type_ = "Warning" if why.reason == "DatabaseKept" else "Normal"
            log.warning(why.message, extra={"event": "deletion", "reason": why.reason})
            await events.post(self._cluster, live, type_, why.reason, why.message)
        await deletion.set_finalizer(self._cluster, live, wanted=False)
        return Outcome()

    async def _report_deletion(
        self, live: Object, board: Board, keys: Keys, why: Trouble, *, stuck: bool = False
    ) -> None:
        """Write what a deletion waits for, beside what still serves; `stuck`: it takes a person."""
        path = Collection("apps/v1", "deployments", board.namespace)(board.name)
        deployment = await self._cluster.find(path)
        seen = Observed(
            board=board,
            generation=live["metadata"]["generation"],
            now=datetime.now(UTC),
            deployment=deployment if deployment and controller_uid(deployment) == board.uid else None,
            secrets=keys.troubles if board.spec.paused else (),
            deletion=why,
            refusals=(why,) if stuck else (),
        )
        await self._tell(live, status(seen, live.get("status", {})))

    def _forget(self, key: Key) -> None:
        self._children.forget(self._uids.pop(key, ""))
        self._secrets.pop(key, None)
        self._rollouts.forget(key)
        self._looks.pop(key, None)
        self._metrics.forget(key)

    def _outcome(self, key: Key, seen: Observed, *, changed: bool) -> Outcome:
        count = counts(seen.board, seen.deployment)
        if seen.refusals:
            return Outcome(failed=True)
        if seen.board.spec.paused or (count.settled and count.ready == count.wanted and not seen.secrets):
            self._looks.pop(key, None)
            return Outcome()
        looks = self._looks[key] = 0 if changed else self._looks.get(key, -1) + 1
        wait = min(LOOK_AGAIN * 2**looks, LOOK_SELDOM) * random.uniform(1.0, 1.2)  # noqa: S311 - no secret
        grace = pods.grace_left(seen.pods, seen.now)
        return Outcome(again=wait if grace is None else min(wait, grace.total_seconds() + 1.0))
