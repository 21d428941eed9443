"""What periods store about one player: the rows of results, and the disqualifications."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tornado_app.mongo.client.driver import Document
from tornado_app.mongo.periods.plan import PERIODS
from tornado_app.mongo.periods.results import PREFIX, epoch_of, rows_of

_EPOCH = ("board", "period", "epoch")


async def player_export(database: Any, player: str, never: Collection[str] = ()) -> dict[str, list[Document]]:
    """`results` and `disqualified`: what is stored, with board, period and epoch, in their order. Results of the boards
    `never`, on which the player never was, are not searched. Raises PyMongoError."""
    results = list[Document]()
    async for rows in rows_of(database, player, never):
        for row in rows:
            name = row.pop("_id")
            epoch = epoch_of(name)
            if epoch is not None and name == PREFIX + epoch:  # not one that is being made
                board, period, number = epoch.split(".")
                results.append({"board": board, "period": period, "epoch": int(number), **row})
    named = {"disqualified.player": player}
    shown = {"_id": False, **dict.fromkeys(_EPOCH, True), "disqualified": {"$elemMatch": {"player": player}}}
    disqualified = [
        {**{name: found[name] for name in _EPOCH}, **found["disqualified"][0]}
        for found in await database[PERIODS].find(named, shown).to_list(None)
    ]
    return {"results": sorted(results, key=_order), "disqualified": sorted(disqualified, key=_order)}


def _order(exported: Document) -> tuple[Any, ...]:
    return tuple(exported[name] for name in _EPOCH)
