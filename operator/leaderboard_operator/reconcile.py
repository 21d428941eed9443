"""One Leaderboard brought to what its spec says: read all, write what differs, tell. Any event leads here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from leaderboard_operator import API_VERSION, GROUP, PLURAL, deletion, events, exposure, rollouts, secretkeys
from leaderboard_operator.children import Children, Kinds
from leaderboard_operator.claims import Claim, Claims, Key, database
from leaderboard_operator.cluster import Cluster, Collection
from leaderboard_operator.conditions import Trouble
from leaderboard_operator.metrics import Metrics
from leaderboard_operator.monitoring import Routing, promised
from leaderboard_operator.resources import Board
from leaderboard_operator.resources.autoscaler import scaling_active
from leaderboard_operator.resources.container import resources
from leaderboard_operator.resources.secrets import secret_keys
from leaderboard_operator.rollouts import Rollouts
from leaderboard_operator.secretkeys import Keys
from leaderboard_operator.spec import Spec, quantity
from leaderboard_operator.status import Observed, counts, over, status

log = logging.getLogger(__name__)

Object = dict[str, Any]

LOOK_AGAIN = 10.0
"""Seconds until a Leaderboard that is not as asked is looked at again without an event."""


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
    """Brings Leaderboards to what they ask for. `nudge` puts other Leaderboards into the queue."""

    def __init__(self, cluster: Cluster, metrics: Metrics, defaults: Defaults, *, nudge: Callable[[Key], None]) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._defaults = defaults
        self._nudge = nudge
        self._children = Children(cluster)
        self._claims = Claims()
        self._told: dict[Key, Object] = {}
        self._rollouts = Rollouts(defaults.max_rollouts, nudge)
        self._uids: dict[Key, str] = {}
        self._secrets: dict[Key, set[str]] = {}

    async def discover(self) -> Kinds:
        """Find out which kinds of objects the cluster knows. Nothing is reconciled before."""
        return await self._children.discover()

    def tell(self, key: Key, live: Object | None) -> None:
        """The watch told of a Leaderboard, or (None) of its end: it may claim a database before its turn comes."""
        if live is None:
            self._told.pop(key, None)
        else:
            self._told[key] = live

    def tell_all(self, listed: dict[Key, Object]) -> None:
        """A list told of all Leaderboards that there are."""
        self._told = dict(listed)

    def users(self, namespace: str, secret: str) -> list[Key]:
        """The Leaderboards that use a Secret."""
        return [key for key, names in self._secrets.items() if key[0] == namespace and secret in names]

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one Leaderboard to its spec. After an ApiError, Unreachable or NotLeading it is done anew."""
        live = await self._cluster.find(_path(key)(key[1]))
        if live is None:
            self._forget(key)
            return Outcome()
        self._uids[key] = live["metadata"]["uid"]
        board = self._board(live)
        self._secrets[key] = {ref.name for ref in secret_keys(board.spec).values()}
        keys = await secretkeys.read(self._cluster, board.namespace, board.spec)
        board = msgspec.structs.replace(board, secrets_hash=keys.digest)
        if "deletionTimestamp" in live["metadata"]:
            return await self._delete(live, board, keys)
        if not board.spec.paused:
            await deletion.set_finalizer(self._cluster, live, wanted=board.spec.database.deletion_policy == "Delete")
        await self._hear_claims(board)
        seen = await self._bring(live, board, keys)
        if not board.spec.paused:
            self._rollouts.saw(board, over=over(seen))
        self._show(key, board, seen)
        await self._tell(live, status(seen, live.get("status", {})))
        return self._outcome(seen)

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

    def _paced(self, board: Board, deployment: Object | None) -> tuple[Board, Trouble | None]:
        """The Leaderboard as its pods may be now, and why they may not be replaced yet."""
        pending = None if board.spec.paused else self._rollouts.hold(board, deployment)
        if pending is None or deployment is None:
            return board, None
        return msgspec.structs.replace(board, kept=rollouts.kept(deployment)), pending

    async def _bring(self, live: Object, board: Board, keys: Keys) -> Observed:
        rival = self._rival(live, board, keys)
        found = await self._children.find(board)
        board, pending = self._paced(board, found.deployment(board.name))
        refusals: list[Trouble] = []
        if not board.spec.paused:
            held = bool(keys.troubles or rival)
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
            rival=rival,
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

    async def _hear_claims(self, board: Board) -> None:
        """Know what others claim that ask for a database of the same name, and whose turn has not come yet."""
        for key, live in list(self._told.items()):
            same = live["spec"]["database"]["name"] == board.spec.database.name
            if same and key != (board.namespace, board.name) and key not in self._claims:
                other = self._board(live)
                self._rival(live, other, await secretkeys.read(self._cluster, other.namespace, other.spec))

    def _rival(self, live: Object, board: Board, keys: Keys) -> str:
        if keys.mongodb_uri is None:
            return ""
        key = (board.namespace, board.name)
        claimed = database(keys.mongodb_uri, board.spec.database.name)
        for other in self._claims.put(Claim(live["metadata"]["creationTimestamp"], key, claimed)):
            self._nudge(other)
        return self._claims.rival(key)

    async def _tell(self, live: Object, after: Object) -> None:
        """Write the status and the Events, if it is another than it was."""
        before, meta = live.get("status", {}), live["metadata"]
        self._metrics.show((meta["namespace"], meta["name"]), after)
        if after == before:
            return
        path = _path((meta["namespace"], meta["name"]))(meta["name"], "status")
        patch = {
            "apiVersion": live["apiVersion"],
            "kind": live["kind"],
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "status": after,
        }
        await self._cluster.apply(path, patch)
        for type_, reason, message in events.transitions(before.get("conditions", []), after["conditions"]):
            level = logging.WARNING if type_ == "Warning" else logging.INFO
            log.log(level, message, extra={"event": "condition", "reason": reason})
            await events.post(self._cluster, live, type_, reason, message)

    async def _delete(self, live: Object, board: Board, keys: Keys) -> Outcome:
        if deletion.FINALIZER not in live["metadata"].get("finalizers", []):
            return Outcome()
        if board.spec.database.deletion_policy == "Delete":
            waiting = await deletion.drop_database(self._cluster, board, keys)
            if waiting is not None:
                seen = Observed(
                    board=board, generation=live["metadata"]["generation"], now=datetime.now(UTC), refusals=(waiting,)
                )
                await self._tell(live, status(seen, live.get("status", {})))
                return Outcome(failed=True)
        await deletion.set_finalizer(self._cluster, live, wanted=False)
        return Outcome()

    def _forget(self, key: Key) -> None:
        for other in self._claims.drop(key):
            self._nudge(other)
        self._children.forget(self._uids.pop(key, ""))
        self._secrets.pop(key, None)
        self._rollouts.forget(key)
        self._metrics.forget(key)

    @staticmethod
    def _outcome(seen: Observed) -> Outcome:
        count = counts(seen.board, seen.deployment)
        if seen.refusals:
            return Outcome(failed=True)
        fine = count.settled and count.ready == count.wanted
        return Outcome(again=None if fine or seen.board.spec.paused else LOOK_AGAIN)


def _path(key: Key) -> Collection:
    return Collection(f"{GROUP}/{API_VERSION}", PLURAL, key[0])
