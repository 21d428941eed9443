"""The cluster's clock, and a cluster time as one integer that JavaScript can hold."""

from __future__ import annotations

import asyncio
from typing import Any

from bson import Timestamp

PAUSE = 0.02
"""Seconds until a server that has no cluster time yet is asked again."""

_SHIFT = 21
_MAX_INCREMENT = (1 << _SHIFT) - 1


def version(moment: Timestamp) -> int:
    """Seconds · 2²¹ + increment: grows with the cluster time, the same in every process, below 2⁵³ until 2106.

    More than two million operations in one second share a version; that is more than a replica set does.
    """
    return int(moment.time) << _SHIFT | min(int(moment.inc), _MAX_INCREMENT)


async def cluster_time(database: Any) -> Timestamp:
    """The database's time now, bounded by the caller's `pymongo.timeout`.

    For some tenths of a second after its start a server with access control answers, and has none.
    """
    while True:
        moment: Timestamp | None = (await database.command("ping")).get("operationTime")
        if moment is not None:
            return moment
        await asyncio.sleep(PAUSE)
