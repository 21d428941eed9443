"""What the operator holds its watches to, and how it finds that one is dead; and Events, one for each change."""

from __future__ import annotations

import asyncio
from itertools import islice

import kopf
import pytest

from leaderboard_operator.events import transitions
from leaderboard_operator.watch import Watches, WatchFreshness, settings

A = ("games", "a")


async def test_a_watch_in_step_is_fresh():
    fresh = WatchFreshness()
    fresh.record(A, "5")
    await asyncio.sleep(0.05)
    fresh.compare({A: "5"})
    assert fresh.age < 0.05


async def test_a_change_that_no_event_tells_of_ages_the_watch():
    fresh = WatchFreshness()
    fresh.compare({A: "5"})
    await asyncio.sleep(0.05)
    fresh.compare({A: "6"})
    assert fresh.age >= 0.05
    fresh.record(A, "6")
    fresh.compare({A: "7"})
    assert fresh.age < 0.05


async def test_a_change_may_be_on_its_way_and_what_is_gone_is_not_missed():
    fresh = WatchFreshness()
    fresh.compare({A: "5"})
    await asyncio.sleep(0.05)
    fresh.record(A, "5")
    fresh.compare({A: "6"})
    assert fresh.age < 0.05
    fresh.compare({})
    assert fresh.age < 0.05


def test_kopf_is_kept_from_its_traps():
    found = settings()
    assert found.watching.inactivity_timeout < 75
    assert found.watching.server_timeout < 300
    assert found.peering.standalone
    assert not found.posting.enabled
    pauses = list(islice(found.networking.error_backoffs, 1000))
    assert len(pauses) == 1000, "kopf gives up after the last one"
    assert max(pauses) <= 15


def condition(type_, status, reason="x"):
    return {"type": type_, "status": status, "reason": reason, "message": reason}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([], [condition("Ready", "False", "Starting")], []),
        ([], [condition("Ready", "True", "Serving")], [("Normal", "Serving", "Serving")]),
        ([condition("Ready", "True", "Serving")], [condition("Ready", "True", "Serving")], []),
        ([], [condition("Degraded", "True", "a"), condition("SecretsReady", "False", "a")], [("Warning", "a", "a")]),
        ([condition("Degraded", "True", "a")], [condition("Degraded", "True", "b")], [("Warning", "b", "b")]),
        ([condition("Degraded", "True", "a")], [condition("Degraded", "False", "AsSpecified")], []),
        ([condition("DatabaseReady", "True")], [condition("DatabaseReady", "Unknown")], []),
    ],
)
def test_an_event_for_each_trouble_and_for_being_ready(before, after, told):
    assert transitions(before, after) == told


def test_kopf_makes_no_copies_of_what_it_hears_of():
    """Nobody compares what an object was and is; the copies cost more than all other work on an event."""
    kept = settings().persistence
    essence = kept.diffbase_storage.build(body=kopf.Body({"spec": {"a": 1}}))
    assert essence == {}
    assert kept.progress_storage.clear(essence=essence) is essence
    assert kept.diffbase_storage.fetch(body=kopf.Body({})) is None


async def test_a_watch_that_kopf_leaves_and_that_swallows_a_cancellation_ends_too(monkeypatch):
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.Event().wait()

    async def fails() -> None:
        raise ValueError("a watch")

    part, left = asyncio.create_task(fails()), asyncio.create_task(stubborn(), name="watcher for services.v1@games")

    async def spawn_tasks(**_: object) -> list[asyncio.Task[None]]:
        return [part]

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    signals = []
    with pytest.raises(ValueError, match="a watch"):
        await Watches(print, lambda *_: [], shutdown_seconds=0.4).run((), (), lambda: signals.append("taken"))
    assert (left.cancelled(), swallowed.is_set(), signals) == (True, True, ["taken"])
