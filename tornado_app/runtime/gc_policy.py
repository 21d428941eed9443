"""Runs full garbage collections seldom, because they block the event loop.

A full collection visits every object, which takes a quarter of a second with 5,000 sockets, and by default runs
whenever there are a quarter more objects. The service leaves no reference cycles behind (tests check this), so
collections of young objects suffice; the rare full one is for cycles of libraries.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time

from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.gc")

FULL_COLLECTION_INTERVAL = 3600.0
"""Mean seconds between two full collections; a random quarter is added or subtracted, so that processes differ."""

_NEVER = 2**31 - 1


async def run_gc_policy(interval: float = FULL_COLLECTION_INTERVAL) -> None:
    """Freeze the present objects, and run full collections only, `interval` seconds apart, until cancelled."""
    young = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*young[:2], _NEVER)
    try:
        while True:
            await asyncio.sleep(jittered(interval, 0.75, 1.25))
            _collect()
    finally:
        gc.set_threshold(*young)
        gc.unfreeze()


def _collect() -> None:
    began = time.perf_counter()
    found = gc.collect()
    log.info(
        "full garbage collection finished", extra={"objects": found, "seconds": round(time.perf_counter() - began, 3)}
    )
