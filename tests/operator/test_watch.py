"""The settings of the watches, the detection of a dead watch, and Events of changed conditions."""

from __future__ import annotations

import asyncio
from itertools import islice

import kopf
import pytest

from leaderboard_operator.events import transitions
from leaderboard_operator.watch import Watches, WatchFreshness, settings

A = ("games", "a")


def is_fresh(freshness, since):
    """Whether the watch was complete at this loop time or later."""
    return freshness.age <= asyncio.get_running_loop().time() - since


async def test_watch_freshness_with_current_watch_is_fresh():
    freshness = WatchFreshness()
    freshness.record(A, "5")
    await asyncio.sleep(0.05)
    now = asyncio.get_running_loop().time()
    freshness.compare({A: "5"})
    assert is_fresh(freshness, now)


async def test_watch_freshness_with_missing_event_ages():
    freshness = WatchFreshness()
    freshness.compare({A: "5"})
    await asyncio.sleep(0.05)
    freshness.compare({A: "6"})
    assert freshness.age >= 0.05
    freshness.record(A, "6")
    now = asyncio.get_running_loop().time()
    freshness.compare({A: "7"})
    assert is_fresh(freshness, now)


async def test_watch_freshness_with_late_event_or_deletion_is_fresh():
    freshness = WatchFreshness()
    freshness.compare({A: "5"})
    await asyncio.sleep(0.05)
    freshness.record(A, "5")
    now = asyncio.get_running_loop().time()
    freshness.compare({A: "6"})
    assert is_fresh(freshness, now)
    now = asyncio.get_running_loop().time()
    freshness.compare({})
    assert is_fresh(freshness, now)


def test_kopf_settings_limit_timeouts_and_backoffs():
    kopf_settings = settings()
    assert kopf_settings.watching.inactivity_timeout < 75
    assert kopf_settings.watching.server_timeout < 300
    assert kopf_settings.peering.standalone
    assert not kopf_settings.posting.enabled
    pauses = list(islice(kopf_settings.networking.error_backoffs, 1000))
    assert len(pauses) == 1000, "kopf stops after the last one"
    assert max(pauses) <= 15


def condition(type_, status, reason="x"):
    return {"type": type_, "status": status, "reason": reason, "message": reason}


@pytest.mark.parametrize(
    ("before", "after", "events"),
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
def test_transitions_have_event_per_problem_and_for_ready(before, after, events):
    assert transitions(before, after) == events


def test_kopf_storages_copy_no_objects():
    persistence = settings().persistence
    essence = persistence.diffbase_storage.build(body=kopf.Body({"spec": {"a": 1}}))
    assert essence == {}
    assert persistence.progress_storage.clear(essence=essence) is essence
    assert persistence.diffbase_storage.fetch(body=kopf.Body({})) is None


async def test_watches_stopped_end_task_that_ignores_cancellation(monkeypatch):
    ignored = asyncio.Event()

    async def ignores_first_cancellation() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ignored.set()
        await asyncio.Event().wait()

    async def fails() -> None:
        raise ValueError("a watch")

    failing, remaining = (
        asyncio.create_task(fails()),
        asyncio.create_task(ignores_first_cancellation(), name="watcher for services.v1@games"),
    )

    async def spawn_tasks(**_: object) -> list[asyncio.Task[None]]:
        return [failing]

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    signals = []
    with pytest.raises(ValueError, match="a watch"):
        await Watches(print, lambda *_: [], shutdown_seconds=0.4).run((), (), lambda: signals.append("handled"))
    assert (remaining.cancelled(), ignored.is_set(), signals) == (True, True, ["handled"])
