"""The simulated players: each scores over HTTP like any client, at a pace of its own."""

# ruff: noqa: S311 - games are played with dice, not with cryptography
from __future__ import annotations

import asyncio
import heapq
import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPResponse

from tornado_app.core.policies import RateLimit
from tornado_app.demo.games import GAMES, Game, Move
from tornado_app.demo.people import Person

log = logging.getLogger("leaderboard.demo")

ENTRANCE = 3.0
"""Seconds in which everybody scores for the first time."""

QUICKEST, SLOWEST = 2.0, 20.0
"""Seconds between two moves of the keenest player, whatever the rate limit is."""

BUSIEST = 100.0
"""Moves a second of the whole crowd: a demo leaves the machine some room."""

TOKEN_LIFE, TOKEN_RENEWED = 3600.0, 3000.0
"""Seconds that a player's token holds, and after which the player gets a new one."""

REQUEST_TIMEOUT = 10.0
LAST_MOVES = 1.0
"""Seconds that moves under way are given to end."""

Mint = Callable[[Person, float], str]
"""A bearer token for a person, for so many seconds."""


class Player:
    """A simulated player. `pace`: mean seconds between two moves; `rests_until`: before that it does nothing."""

    __slots__ = ("pace", "person", "renew_at", "rests_until", "score", "token")

    def __init__(self, person: Person, pace: float) -> None:
        self.person = person
        self.pace = pace
        self.score = 0
        self.rests_until = 0.0
        self.token = ""
        self.renew_at = 0.0


class Crowd:
    """Plays on the service at `url` until `run` is cancelled.

    `most`: points that one move may claim; `actions`: points by type, as the server has them.
    """

    def __init__(
        self, url: str, people: list[Person], *, mint: Mint, actions: Mapping[str, int], most: int, limit: RateLimit
    ) -> None:
        self._url = url
        self._mint = mint
        self._actions = list(actions)
        # Cheap actions are frequent, dear ones rare, so that every frontend is worth about the same.
        self._weights = [1 / points for points in actions.values()]
        self._most = most
        self._dice = random.Random()
        self._players = [Player(person, pace) for person, pace in zip(people, _paces(people, limit), strict=True)]
        self._best = 0
        self._turns: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()

    async def run(self) -> None:
        """Everybody plays. When it is cancelled, moves under way are finished."""
        # No proxy, and no check of a certificate that need not be for this address: the crowd talks to its own process.
        client = AsyncHTTPClient(
            force_instance=True, max_clients=100, defaults={"validate_cert": False, "request_timeout": REQUEST_TIMEOUT}
        )
        try:
            await self._play(client)
        finally:
            if self._turns:
                _, late = await asyncio.wait(self._turns, timeout=LAST_MOVES)
                for turn in late:
                    turn.cancel()
            client.close()

    async def _play(self, client: AsyncHTTPClient) -> None:
        now = time.monotonic()
        entrance = max(ENTRANCE, len(self._players) / BUSIEST)
        due = [(now + entrance * self._dice.random(), number) for number in range(len(self._players))]
        heapq.heapify(due)
        while True:
            at, number = due[0]
            await asyncio.sleep(at - time.monotonic())
            player = self._players[number]
            heapq.heapreplace(due, (time.monotonic() + player.pace * self._dice.uniform(0.2, 1.8), number))
            if player.rests_until <= time.monotonic():
                turn = asyncio.create_task(self._turn(client, player))
                self._turns.add(turn)
                turn.add_done_callback(self._ended)

    def _ended(self, turn: asyncio.Task[None]) -> None:
        self._turns.discard(turn)
        if not turn.cancelled() and (error := turn.exception()) is not None:
            log.error("simulated player failed", exc_info=error)

    async def _turn(self, client: AsyncHTTPClient, player: Player) -> None:
        """One move through one of the frontends; what the service answers is taken as a player would."""
        game = self._dice.choice(GAMES)
        move = Move(player.person.user_id, self._points(player), self._action(), str(uuid4()))
        try:
            response = await self._call(client, player, game.method, game.path, game.body(move))
            if response.code == 404:  # this frontend wants players to be known
                place = f"/api/v1/players/{quote(player.person.user_id, safe='')}"
                await self._call(client, player, "PUT", place, {})
                response = await self._call(client, player, game.method, game.path, game.body(move))
        except (OSError, HTTPClientError) as error:
            log.debug("request of a simulated player failed: %s", error)
            return
        self._note(player, game, response)

    async def _call(
        self, client: AsyncHTTPClient, player: Player, method: str, path: str, body: dict[str, Any]
    ) -> HTTPResponse:
        if time.monotonic() >= player.renew_at:
            player.token = self._mint(player.person, TOKEN_LIFE)
            player.renew_at = time.monotonic() + TOKEN_RENEWED
        headers = {"Authorization": f"Bearer {player.token}", "Content-Type": "application/json"}
        return await client.fetch(
            self._url + path, method=method, headers=headers, body=json.dumps(body), raise_error=False
        )

    def _points(self, player: Player) -> int:
        """A few points, and more for who lies behind: so the field stays together and places change."""
        behind = max(0, self._best - player.score)
        caught_up = min(40, int(behind * self._dice.random() * 0.3))
        return min(self._most, self._dice.randint(1, 12) + caught_up)

    def _action(self) -> str:
        return self._dice.choices(self._actions, self._weights)[0]

    def _note(self, player: Player, game: Game, response: HTTPResponse) -> None:
        if response.code in (200, 201):
            player.score = json.loads(response.body)[game.score]
            self._best = max(self._best, player.score)
        elif response.code in (429, 500, 503):
            player.rests_until = time.monotonic() + _seconds(response.headers.get("Retry-After"))
        elif (answer := response.body.decode("utf-8", "replace")) not in self._told:
            self._told.add(answer)
            log.warning("request of a simulated player was refused", extra={"status": response.code, "answer": answer})


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdecimal() else 1.0


def _paces(people: list[Person], limit: RateLimit) -> list[float]:
    """Each one's mean seconds between two moves: the keenest keeps just within the rate limit."""
    keenest = min(max(limit.window / limit.updates, QUICKEST), SLOWEST)
    paces = [keenest * random.Random(person.user_id).uniform(1.1, 2.5) for person in people]
    busy = sum(1 / pace for pace in paces)
    return [pace * max(1.0, busy / BUSIEST) for pace in paces]
