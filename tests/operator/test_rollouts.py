"""Rollouts after an upgrade of the operator are limited; rollouts of a changed Leaderboard start at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from leaderboard_operator import deletion
from leaderboard_operator.metrics import Metrics
from leaderboard_operator.owned_objects import LiveObjects
from leaderboard_operator.reconcile import Defaults, Reconciler
from leaderboard_operator.resources.configmap import config_map
from leaderboard_operator.resources.deployment import deployment, non_defaults
from leaderboard_operator.resources.view import LeaderboardView
from leaderboard_operator.rollouts import ChangeSource, Rollouts, change_source, kept
from tests.support.leaderboard_views import FULL, UID, view
from tests.support.leaderboards import TIMEOUT, Leaderboards, leaderboard, secret, spec
from tests.support.operator import Operator
from tests.support.wait import wait_until

Object = dict[str, Any]

LIVE = deployment(view())

CHANGES: list[tuple[LeaderboardView, ChangeSource]] = [
    (view(), ChangeSource.NONE),
    (view(spec(replicas=7)), ChangeSource.NONE),
    (view(spec(update="Manual", paused=True)), ChangeSource.NONE),
    (view(spec(boards={"kart": {"rule": "Best"}})), ChangeSource.NONE),
    (view(image="leaderboard-app:1.3.0"), ChangeSource.OPERATOR),
    (view(spec(replicas=7, update="Manual"), image="leaderboard-app:1.3.0"), ChangeSource.OPERATOR),
    (view(spec(boards={"kart": {}}), image="leaderboard-app:1.3.0"), ChangeSource.OPERATOR),
    (view(secrets_hash="6f"), ChangeSource.LEADERBOARD),
    (view(spec(live={"maxConnections": 5})), ChangeSource.LEADERBOARD),
    (view(spec(image="a:2"), image="a:2"), ChangeSource.LEADERBOARD),
    (view(spec(settings={"auto_register": True}), image="leaderboard-app:1.3.0"), ChangeSource.LEADERBOARD),
]


@pytest.mark.parametrize(("wanted", "expected"), CHANGES)
def test_change_source_of_changed_pods(wanted, expected):
    assert change_source(wanted, LIVE) is expected


def test_change_source_without_deployment_is_leaderboard():
    assert change_source(view(), None) is ChangeSource.LEADERBOARD


def test_change_source_without_annotations_is_operator():
    old = msgspec.json.decode(msgspec.json.encode(LIVE))
    del old["metadata"]["annotations"]
    assert change_source(view(), old) is ChangeSource.OPERATOR


def test_deployment_with_kept_pods_follows_spec_otherwise():
    wanted = view(spec(replicas=9), image="leaderboard-app:1.3.0")
    built = deployment(msgspec.structs.replace(wanted, kept=kept(LIVE)))
    assert built["spec"]["template"] == LIVE["spec"]["template"]
    assert built["metadata"]["annotations"] == LIVE["metadata"]["annotations"]
    assert built["spec"]["replicas"] == 9
    assert change_source(wanted, built) is ChangeSource.OPERATOR


def views_of(count: int, **changes: Any) -> list[LeaderboardView]:
    return [view(spec(**changes), name=f"b{n}", image="leaderboard-app:1.3.0") for n in range(count)]


def hold_reasons(rollouts: Rollouts, leaderboards: list[LeaderboardView]) -> list[str]:
    """The reason for which each rollout is held; empty if it may start."""
    explanations = [rollouts.hold(item, deployment(view(name=item.name))) for item in leaderboards]
    return [explanation.reason if explanation else "" for explanation in explanations]


@pytest.mark.parametrize(("limit", "started"), [(0, 4), (1, 1), (3, 3), (9, 4)])
def test_rollouts_above_limit_wait(limit, started):
    assert hold_reasons(Rollouts(limit, print), views_of(4)) == [""] * started + ["UpdateWaits"] * (4 - started)


def test_rollout_ended_enqueues_waiting_one():
    enqueued: list[tuple[str, str]] = []
    rollouts, (first, second, third) = Rollouts(1, enqueued.append), views_of(3)
    assert hold_reasons(rollouts, [first, second, third]) == ["", "UpdateWaits", "UpdateWaits"]
    rollouts.update(first, ended=False)
    assert enqueued == []
    rollouts.update(first, ended=True)
    assert enqueued == [("games", "b1")]
    assert hold_reasons(rollouts, [third, second]) == ["", "UpdateWaits"]
    rollouts.forget(("games", "b2"))
    assert enqueued == [("games", "b1"), ("games", "b1")]


def test_two_rollouts_ended_enqueue_two_waiting_ones():
    enqueued: list[tuple[str, str]] = []
    rollouts, (first, second, third, fourth) = Rollouts(2, enqueued.append), views_of(4)
    assert hold_reasons(rollouts, [first, second, third, fourth]) == ["", "", "UpdateWaits", "UpdateWaits"]
    rollouts.update(first, ended=True)
    rollouts.update(second, ended=True)
    assert set(enqueued) == {("games", "b2")}
    assert hold_reasons(rollouts, [third]) == [""]
    assert enqueued[-1] == ("games", "b3")


@pytest.mark.parametrize(
    "changes",
    [{"paused": True}, {"update": "Manual"}, {"live": {"maxConnections": 5}}],
    ids=lambda changes: next(iter(changes)),
)
def test_rollout_not_needed_any_more_enqueues_next(changes):
    enqueued: list[tuple[str, str]] = []
    rollouts, (first, second, third) = Rollouts(1, enqueued.append), views_of(3)
    hold_reasons(rollouts, [first, second, third])
    rollouts.update(first, ended=True)
    changed = view(spec(**changes), name="b1", image="leaderboard-app:1.3.0")
    rollouts.hold(changed, deployment(view(name="b1")))
    assert enqueued == [("games", "b1"), ("games", "b2")]
    assert hold_reasons(rollouts, [third]) == [""]


ROLLED_OUT = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}


@pytest.mark.parametrize(
    ("status", "waits"),
    [
        (ROLLED_OUT, False),
        ({**ROLLED_OUT, "updatedReplicas": 1}, True),
        ({**ROLLED_OUT, "readyReplicas": 1}, True),
        ({**ROLLED_OUT, "observedGeneration": 0}, True),
        ({}, True),
    ],
)
def test_rollout_of_earlier_leader_counts(status, waits):
    enqueued: list[tuple[str, str]] = []
    reconciler = Reconciler(None, Metrics(), Defaults(app_image="a:2", max_rollouts=1), enqueue=enqueued.append)
    first, second = views_of(2)
    live = {**deployment(first), "status": status}
    live["metadata"]["generation"], live["spec"]["replicas"] = 1, 2
    reconciler.inherit_rollouts({("games", "b0"): live})
    assert hold_reasons(reconciler._rollouts, [second]) == ["UpdateWaits" if waits else ""]
    reconciler._rollouts.update(first, ended=True)
    assert enqueued == ([("games", "b1")] if waits else [])


def test_rollouts_of_earlier_leader_do_not_all_start():
    """In an outage all Deployments are unready. Each counts until its reconcile, without being a rollout."""
    rollouts, leaderboards = Rollouts(2, print), views_of(4)
    for item in leaderboards:
        rollouts.inherit((item.namespace, item.name))
    assert hold_reasons(rollouts, leaderboards) == ["UpdateWaits"] * 4
    rollouts.update(leaderboards[0], ended=True)
    rollouts.update(leaderboards[1], ended=True)
    rollouts.update(leaderboards[2], ended=True)
    assert hold_reasons(rollouts, leaderboards) == ["", "UpdateWaits", "UpdateWaits", ""]


class OneLeaderboard:
    """An API server with one Leaderboard and its Secrets."""

    def __init__(self, **live: Any) -> None:
        meta = {"namespace": "games", "name": "arcade", "uid": UID, "generation": 2, "resourceVersion": "1"}
        self.live: Object = {**leaderboard(), **live}
        self.live["metadata"] = {**meta, **live.get("metadata", {})}

    async def find(self, path: str) -> Object | None:
        if path.endswith("/leaderboards/arcade"):
            return self.live
        if path == "/api/v1/namespaces/games":
            return {"metadata": {}}
        return secret("any", uri="x", key="x") if "/secrets/" in path else None

    async def list(self, *_: Any) -> list[Object]:
        return []

    async def _write(self, _: str, written: Object) -> Object:
        return written

    apply = create = merge = _write


DELETED = {"deletionTimestamp": "2026-11-29T20:00:00Z", "finalizers": [deletion.FINALIZER]}


@pytest.mark.parametrize(
    "live",
    [
        {"spec": spec(paused=True)},
        {"spec": spec(replicas="many")},
        {"metadata": DELETED, "spec": spec(database={**spec()["database"], "deletionPolicy": "Delete"})},
    ],
    ids=["paused", "invalid", "being deleted"],
)
async def test_rollout_of_stopped_leaderboard_enqueues_next(live):
    enqueued: list[tuple[str, str]] = []
    reconciler = Reconciler(
        OneLeaderboard(**live), Metrics(), Defaults(app_image="a:2", max_rollouts=1), enqueue=enqueued.append
    )
    reconciler._rollouts.update(view(), ended=False)
    assert hold_reasons(reconciler._rollouts, views_of(1)) == ["UpdateWaits"]
    await reconciler.reconcile(("games", "arcade"))
    assert enqueued == [("games", "b0")]
    assert hold_reasons(reconciler._rollouts, views_of(1)) == [""]


async def test_rollout_of_failing_leaderboard_enqueues_next():
    enqueued: list[tuple[str, str]] = []
    reconciler = Reconciler(
        OneLeaderboard(), Metrics(), Defaults(app_image="a:2", max_rollouts=1), enqueue=enqueued.append
    )
    reconciler._rollouts.update(view(), ended=False)
    assert hold_reasons(reconciler._rollouts, views_of(1)) == ["UpdateWaits"]
    await reconciler.report(("games", "arcade"), "500 InternalError: webhook")
    assert enqueued == [("games", "b0")]


@pytest.mark.parametrize("exists", [True, False])
async def test_rollout_without_configmap_starts_at_once(exists):
    """Without the ConfigMap the pods could not restart on another node or after an eviction."""
    reconciler = Reconciler(OneLeaderboard(), Metrics(), Defaults(app_image="a:2"), enqueue=print)
    settings = config_map(view())["metadata"]["name"]
    live = LiveObjects((), {("deployments", "arcade"): LIVE, **({("configmaps", settings): {}} if exists else {})})
    item, pending = reconciler._hold_rollout(view(spec(update="Manual"), image="leaderboard-app:1.3.0"), live)
    assert (pending is not None, item.kept is not None) == (exists, exists)


def test_rollout_with_manual_update_waits_for_spec_change():
    (manual,) = views_of(1, update="Manual")
    rollouts = Rollouts(0, print)
    assert hold_reasons(rollouts, [manual]) == ["UpdateHeld"]
    changed = view(spec(update="Manual", live={"maxConnections": 5}), image="leaderboard-app:1.3.0")
    assert rollouts.hold(changed, LIVE) is None


def test_non_defaults_of_spec_omit_replicas_and_paused():
    fields = non_defaults(view(FULL).spec)
    assert fields["rateLimit"] == {"updates": 5, "window": "1m", "maxPointsPerWindow": 1000}
    assert "replicas" not in fields
    assert "paused" not in fields


def image_of(leaderboards: Leaderboards, name: str) -> str:
    return leaderboards.get("deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"]


def rolling_out(leaderboards: Leaderboards, name: str) -> bool:
    live = leaderboards.get("deployment", name)
    status = live.get("status", {})
    observed = status.get("observedGeneration", 0) >= live["metadata"]["generation"]
    ready = status.get("availableReplicas", 0) == status.get("updatedReplicas", 0) == live["spec"]["replicas"]
    return not (observed and ready and status.get("replicas") == live["spec"]["replicas"])


def test_newer_operator_rolls_out_one_leaderboard_at_a_time(
    leaderboards, install, run_operator: Callable[..., Operator]
):
    """The newer operator has another default image, and a limit of one rollout."""
    names = ["one", "two", "three"]
    installation = install(watch=(leaderboards.namespace,))
    operator = run_operator(installation)
    for number, name in enumerate([*names, "manual"]):
        changes = {"rollout": {"minReadySeconds": 2}, **({"update": "Manual"} if name == "manual" else {})}
        database = {**spec()["database"], "name": f"db{number}"}
        leaderboards.apply(leaderboard(name, **changes, database=database))
    for name in [*names, "manual"]:
        leaderboards.wait(name=name)
        wait_until(lambda name=name: not rolling_out(leaderboards, name), TIMEOUT, f"{name} rolled out")
    before = image_of(leaderboards, "one")
    assert operator.terminate() == 0
    installation.arguments = [
        *(flag for flag in installation.arguments if not flag.startswith(("--app-image", "--max-concurrent"))),
        "--app-image=leaderboard-app:99",
        "--max-concurrent-rollouts=1",
    ]
    run_operator(installation)
    max_rolling, end = 0, time.monotonic() + TIMEOUT
    while {image_of(leaderboards, name) for name in names} != {"leaderboard-app:99"} and time.monotonic() < end:
        max_rolling = max(max_rolling, sum(rolling_out(leaderboards, name) for name in names))
        time.sleep(0.1)
    assert [image_of(leaderboards, name) for name in names] == ["leaderboard-app:99"] * 3
    assert max_rolling == 1
    assert image_of(leaderboards, "manual") == before
    leaderboards.wait("True", "UpdateHeld", "UpdatePending", name="manual")
    leaderboards.patch({"spec": {"replicas": 3}}, name="manual")
    wait_until(lambda: leaderboards.get("deployment", "manual")["spec"]["replicas"] == 3, TIMEOUT, "three pods")
    assert image_of(leaderboards, "manual") == before
    leaderboards.patch({"spec": {"update": "Automatic"}}, name="manual")
    wait_until(lambda: image_of(leaderboards, "manual") == "leaderboard-app:99", TIMEOUT, "the update")
    leaderboards.wait("False", "NothingPending", "UpdatePending", name="manual")
