"""Updates by a newer operator take turns; what a Leaderboard's own change asks for happens at once."""

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
from leaderboard_operator.resources.deployment import deployment
from leaderboard_operator.resources.view import LeaderboardView
from leaderboard_operator.rollouts import ChangeSource, Rollouts, change_source, kept
from tests.operator.boards import PATIENCE, Boards, leaderboard, secret, spec
from tests.operator.samples import FULL, UID, board
from tests.support.operator import Operator
from tests.support.wait import wait_until

Object = dict[str, Any]

LIVE = deployment(board())

CAUSES: list[tuple[LeaderboardView, ChangeSource]] = [
    (board(), ChangeSource.NONE),
    (board(spec(replicas=7)), ChangeSource.NONE),
    (board(spec(update="Manual", paused=True)), ChangeSource.NONE),
    (board(image="leaderboard-app:1.3.0"), ChangeSource.OPERATOR),
    (board(spec(replicas=7, update="Manual"), image="leaderboard-app:1.3.0"), ChangeSource.OPERATOR),
    (board(secrets_hash="6f"), ChangeSource.LEADERBOARD),
    (board(spec(live={"maxConnections": 5})), ChangeSource.LEADERBOARD),
    (board(spec(image="a:2"), image="a:2"), ChangeSource.LEADERBOARD),
    (board(spec(settings={"auto_register": True}), image="leaderboard-app:1.3.0"), ChangeSource.LEADERBOARD),
]


@pytest.mark.parametrize(("wanted", "expected"), CAUSES)
def test_cause_of_other_pods(wanted, expected):
    assert change_source(wanted, LIVE) is expected


def test_pods_that_are_not_there_yet_are_the_leaderboards_own_wish():
    assert change_source(board(), None) is ChangeSource.LEADERBOARD


def test_deployment_of_an_older_operator_without_annotations_is_updated_in_turn():
    """It tells nothing of what was asked; a Leaderboard cannot have changed all at once."""
    old = msgspec.json.decode(msgspec.json.encode(LIVE))
    del old["metadata"]["annotations"]
    assert change_source(board(), old) is ChangeSource.OPERATOR


def test_held_pods_stay_as_they_are_and_the_rest_follows_the_spec():
    wanted = board(spec(replicas=9), image="leaderboard-app:1.3.0")
    built = deployment(msgspec.structs.replace(wanted, kept=kept(LIVE)))
    assert built["spec"]["template"] == LIVE["spec"]["template"]
    assert built["metadata"]["annotations"] == LIVE["metadata"]["annotations"]
    assert built["spec"]["replicas"] == 9
    assert change_source(wanted, built) is ChangeSource.OPERATOR


def boards_of(count: int, **changes: Any) -> list[LeaderboardView]:
    return [board(spec(**changes), name=f"b{n}", image="leaderboard-app:1.3.0") for n in range(count)]


def reasons(turns: Rollouts, those: list[LeaderboardView]) -> list[str]:
    found = [turns.hold(each, deployment(board(name=each.name))) for each in those]
    return [each.reason if each else "" for each in found]


@pytest.mark.parametrize(("limit", "go"), [(0, 4), (1, 1), (3, 3), (9, 4)])
def test_no_more_than_the_limit_are_updated_at_once(limit, go):
    assert reasons(Rollouts(limit, print), boards_of(4)) == [""] * go + ["UpdateWaits"] * (4 - go)


def test_turn_goes_to_one_that_waits_when_a_rollout_ends():
    called: list[tuple[str, str]] = []
    turns, (first, second, third) = Rollouts(1, called.append), boards_of(3)
    assert reasons(turns, [first, second, third]) == ["", "UpdateWaits", "UpdateWaits"]
    turns.update(first, ended=False)
    assert called == []
    turns.update(first, ended=True)
    assert called == [("games", "b1")]
    assert reasons(turns, [third, second]) == ["", "UpdateWaits"]
    turns.forget(("games", "b2"))
    assert called == [("games", "b1"), ("games", "b1")]


def test_two_turns_that_come_free_at_once_go_to_two():
    called: list[tuple[str, str]] = []
    turns, (first, second, third, fourth) = Rollouts(2, called.append), boards_of(4)
    assert reasons(turns, [first, second, third, fourth]) == ["", "", "UpdateWaits", "UpdateWaits"]
    turns.update(first, ended=True)
    turns.update(second, ended=True)
    assert set(called) == {("games", "b2")}
    assert reasons(turns, [third]) == [""]
    assert called[-1] == ("games", "b3")


@pytest.mark.parametrize(
    "changes",
    [{"paused": True}, {"update": "Manual"}, {"live": {"maxConnections": 5}}],
    ids=lambda each: next(iter(each)),
)
def test_turn_that_is_not_needed_any_more_goes_to_the_next(changes):
    called: list[tuple[str, str]] = []
    turns, (first, second, third) = Rollouts(1, called.append), boards_of(3)
    reasons(turns, [first, second, third])
    turns.update(first, ended=True)
    changed = board(spec(**changes), name="b1", image="leaderboard-app:1.3.0")
    turns.hold(changed, deployment(board(name="b1")))
    assert called == [("games", "b1"), ("games", "b2")]
    assert reasons(turns, [third]) == [""]


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
def test_rollout_that_a_new_leader_finds_under_way_counts(status, waits):
    called: list[tuple[str, str]] = []
    reconciler = Reconciler(None, Metrics(), Defaults(app_image="a:2", max_rollouts=1), enqueue=called.append)
    first, second = boards_of(2)
    live = {**deployment(first), "status": status}
    live["metadata"]["generation"], live["spec"]["replicas"] = 1, 2
    reconciler.inherit_rollouts({("games", "b0"): live})
    assert reasons(reconciler._rollouts, [second]) == ["UpdateWaits" if waits else ""]
    reconciler._rollouts.update(first, ended=True)
    assert called == ([("games", "b1")] if waits else [])


def test_boards_that_a_new_leader_finds_unready_do_not_all_roll():
    """As in an outage of their database: each counts until it was looked at, and none has a turn by that."""
    turns, those = Rollouts(2, print), boards_of(4)
    for each in those:
        turns.inherit((each.namespace, each.name))
    assert reasons(turns, those) == ["UpdateWaits"] * 4
    turns.update(those[0], ended=True)
    turns.update(those[1], ended=True)
    turns.update(those[2], ended=True)
    assert reasons(turns, those) == ["", "UpdateWaits", "UpdateWaits", ""], "two, one of them the last that counts"


class OneLeaderboard:
    """An API server that has one Leaderboard, its Secrets, and nothing else."""

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
async def test_turn_of_a_leaderboard_that_does_not_go_on_is_the_next_ones(live):
    called: list[tuple[str, str]] = []
    reconciler = Reconciler(
        OneLeaderboard(**live), Metrics(), Defaults(app_image="a:2", max_rollouts=1), enqueue=called.append
    )
    reconciler._rollouts.update(board(), ended=False)
    assert reasons(reconciler._rollouts, boards_of(1)) == ["UpdateWaits"]
    await reconciler.reconcile(("games", "arcade"))
    assert called == [("games", "b0")]
    assert reasons(reconciler._rollouts, boards_of(1)) == [""]


async def test_turn_of_a_leaderboard_whose_reconciles_fail_is_the_next_ones():
    called: list[tuple[str, str]] = []
    reconciler = Reconciler(
        OneLeaderboard(), Metrics(), Defaults(app_image="a:2", max_rollouts=1), enqueue=called.append
    )
    reconciler._rollouts.update(board(), ended=False)
    assert reasons(reconciler._rollouts, boards_of(1)) == ["UpdateWaits"]
    await reconciler.report(("games", "arcade"), "500 InternalError: webhook")
    assert called == [("games", "b0")]


@pytest.mark.parametrize("there", [True, False])
async def test_pods_whose_config_map_is_gone_are_updated_at_once(there):
    """They could not start again, on another node or after an eviction."""
    reconciler = Reconciler(OneLeaderboard(), Metrics(), Defaults(app_image="a:2"), enqueue=print)
    settings = config_map(board())["metadata"]["name"]
    found = LiveObjects((), {("deployments", "arcade"): LIVE, **({("configmaps", settings): {}} if there else {})})
    made, pending = reconciler._hold_rollout(board(spec(update="Manual"), image="leaderboard-app:1.3.0"), found)
    assert (pending is not None, made.kept is not None) == (there, there)


def test_manual_update_waits_for_the_spec():
    (manual,) = boards_of(1, update="Manual")
    turns = Rollouts(0, print)
    assert reasons(turns, [manual]) == ["UpdateHeld"]
    changed = board(spec(update="Manual", live={"maxConnections": 5}), image="leaderboard-app:1.3.0")
    assert turns.hold(changed, LIVE) is None


def test_hash_of_a_full_spec_holds_what_is_asked_and_no_defaults():
    from leaderboard_operator.resources.deployment import non_defaults

    found = non_defaults(board(FULL).spec)
    assert found["rateLimit"] == {"updates": 5, "window": "1m", "maxPointsPerWindow": 1000}
    assert "replicas" not in found
    assert "paused" not in found


def image_of(boards: Boards, name: str) -> str:
    return boards.get("deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"]


def rolls(boards: Boards, name: str) -> bool:
    live = boards.get("deployment", name)
    status = live.get("status", {})
    seen = status.get("observedGeneration", 0) >= live["metadata"]["generation"]
    ready = status.get("availableReplicas", 0) == status.get("updatedReplicas", 0) == live["spec"]["replicas"]
    return not (seen and ready and status.get("replicas") == live["spec"]["replicas"])


def test_newer_operator_updates_one_leaderboard_after_another(boards, install, run_operator: Callable[..., Operator]):
    """A newer operator is one with another image for Leaderboards that name none, and a limit of one at a time."""
    names = ["one", "two", "three"]
    installation = install(watch=(boards.namespace,))
    operator = run_operator(installation)
    for number, name in enumerate([*names, "manual"]):
        changes = {"rollout": {"minReadySeconds": 2}, **({"update": "Manual"} if name == "manual" else {})}
        database = {**spec()["database"], "name": f"db{number}"}
        boards.apply(leaderboard(name, **changes, database=database))
    for name in [*names, "manual"]:
        boards.wait(name=name)
        wait_until(lambda name=name: not rolls(boards, name), PATIENCE, f"{name} at rest")
    before = image_of(boards, "one")
    assert operator.terminate() == 0
    installation.arguments = [
        *(each for each in installation.arguments if not each.startswith(("--app-image", "--max-concurrent"))),
        "--app-image=leaderboard-app:99",
        "--max-concurrent-rollouts=1",
    ]
    run_operator(installation)
    most, end = 0, time.monotonic() + PATIENCE
    while {image_of(boards, name) for name in names} != {"leaderboard-app:99"} and time.monotonic() < end:
        most = max(most, sum(rolls(boards, name) for name in names))
        time.sleep(0.1)
    assert [image_of(boards, name) for name in names] == ["leaderboard-app:99"] * 3
    assert most == 1
    assert image_of(boards, "manual") == before
    boards.wait("True", "UpdateHeld", "UpdatePending", name="manual")
    boards.patch({"spec": {"replicas": 3}}, name="manual")
    wait_until(lambda: boards.get("deployment", "manual")["spec"]["replicas"] == 3, PATIENCE, "three pods")
    assert image_of(boards, "manual") == before
    boards.patch({"spec": {"update": "Automatic"}}, name="manual")
    wait_until(lambda: image_of(boards, "manual") == "leaderboard-app:99", PATIENCE, "the update")
    boards.wait("False", "NothingPending", "UpdatePending", name="manual")
