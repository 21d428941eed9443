"""Python's search for cyclic garbage, kept from holding the event loop.

A full search looks at every object that there is, which with 5,000 sockets takes a quarter of a second, and comes
whenever there are a quarter more objects than at the last. What ends in this service leaves no cycles behind, which
tests hold, so the searches among young objects are enough, and a full one comes seldom, for what others may leave.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time

from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.garbage")

EVERY = 3600.0
"""Seconds between two full searches, give or take a quarter: processes that began together do not pause together."""

_NEVER = 2**31 - 1


async def search_seldom() -> None:
    """Have full searches at our times only, until cancelled; what is there at the beginning is not looked at again."""
    young = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*young[:2], _NEVER)
    try:
        while True:
            await asyncio.sleep(jittered(EVERY, 0.75, 1.25))
            _search()
    finally:
        gc.set_threshold(*young)
        gc.unfreeze()


def _search() -> None:
    began = time.perf_counter()
    found = gc.collect()
    log.info(
        "full garbage collection finished", extra={"objects": found, "seconds": round(time.perf_counter() - began, 3)}
    )
