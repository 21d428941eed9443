"""Reads of one view: a board in all time, or in the open epoch of a period."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from tornado_app.core.boards import Order
from tornado_app.core.errors import PlayerNotFound
from tornado_app.core.model import TOP, Player, TopPlayers, standings, utc_datetime
from tornado_app.mongo.client.cluster_time import clocked, cluster_time_to_int, reached
from tornado_app.mongo.client.errors import database_errors
from tornado_app.mongo.players.documents import ALL_TIME_FIELDS, Document, ViewFields


class PlayerReads:
    """Reads the players of a collection. `epoch`: of the period, if `fields` are those of one.

    Every method raises DatabaseError if the database does not answer in time, in seconds.
    """

    def __init__(
        self,
        players: Any,
        order: Order,
        timeout: float,
        fields: ViewFields = ALL_TIME_FIELDS,
        epoch: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._players = players
        self._timeout = timeout
        self._fields = fields
        self._order = fields.order(order)
        self._projection = fields.read
        self._epoch = epoch
        self._filter = fields.shown()

    def _shown(self) -> Document:
        """The filter of the players whom the view shows."""
        name = self._fields.epoch
        return self._filter if name is None else {**self._filter, name: self._epoch()}

    async def player(self, user_id: str) -> Player:
        """One player. Raises PlayerNotFound."""
        async with database_errors(self._timeout), clocked(self._players) as session:
            document = await self._players.find_one(
                {"_id": user_id, **self._shown()}, self._projection, session=session
            )
        if document is None:
            raise PlayerNotFound
        return self._fields.player(document, reached(session))

    async def chosen(self, user_ids: Collection[str]) -> list[Player]:
        """Those of these players who are on the board, in board order."""
        async with database_errors(self._timeout), clocked(self._players) as session:
            wanted = {**self._shown(), "_id": {"$in": list(user_ids)}}
            cursor = self._players.find(wanted, self._projection, session=session).sort(self._order).hint([("_id", 1)])
            return [self._fields.player(row, reached(session)) for row in await cursor.to_list(None)]

    async def top(self) -> TopPlayers:
        """The top of the board at one majority-committed moment, which is its version."""
        epoch = self._epoch()
        command = {
            "find": self._players.name,
            "filter": self._shown(),
            "sort": dict(self._order),
            "limit": TOP,
            "projection": self._projection,
            "readConcern": {"level": "snapshot"},
        }
        async with database_errors(self._timeout):
            reply = await self._players.database.command(command)
        cursor = reply["cursor"]
        players = [self._fields.player(document) for document in cursor["firstBatch"]]
        # a collection that does not exist has no atClusterTime
        moment = cursor.get("atClusterTime") or reply["operationTime"]
        return TopPlayers(cluster_time_to_int(moment), standings(players), epoch)

    async def around(self, player: Player, limit: int) -> tuple[list[Player], list[Player]]:
        """Up to `limit` players just above and just below, both in board order."""
        async with database_errors(self._timeout), clocked(self._players) as session:
            above = await self._walk(self._beyond(player, ahead=True), limit, session, backwards=True)
            below = await self._walk(self._beyond(player, ahead=False), limit, session)
        return above[::-1], below

    async def page(self, limit: int, after: Player | None) -> list[Player]:
        """Up to `limit` players in board order, from the one after `after` on."""
        async with database_errors(self._timeout), clocked(self._players) as session:
            return await self._walk({} if after is None else self._beyond(after, ahead=False), limit, session)

    async def _walk(self, place: Document, limit: int, session: Any, *, backwards: bool = False) -> list[Player]:
        order = [(field, -direction) for field, direction in self._order] if backwards else self._order
        cursor = (
            self._players.find({**self._shown(), **place}, self._projection, session=session).sort(order).limit(limit)
        )
        rows = await cursor.to_list(None)
        return [self._fields.player(row, reached(session)) for row in rows]

    def _beyond(self, player: Player, *, ahead: bool) -> Document:
        """The filter of all players before (`ahead`) or after a position on the board."""
        values = (player.score, utc_datetime(player.updated_at), player.user_id)
        places, equal = list[Document](), Document()
        for (field, direction), value in zip(self._order, values, strict=True):
            beyond = "$lt" if (direction > 0) is ahead else "$gt"
            places.append({**equal, field: {beyond: value}})
            equal[field] = value
        return {"$or": places}
