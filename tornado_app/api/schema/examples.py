"""The board in the examples of the API's description. A test replays them on a service and compares the answers."""

from __future__ import annotations

from tornado_app.core.model import Player, Standing, TopPlayers, rfc3339

MOMENT = 1_767_323_045_678
TIME = rfc3339(MOMENT)

ALICE = Standing(1, Player("alice", 171, MOMENT, "Alice", "https://game.example/alice.png"))
ZOE = Standing(2, Player("zoe", 5, MOMENT, "Zoë"))
BOARD = TopPlayers(3_706_345_058_467_841, (ALICE, ZOE))
