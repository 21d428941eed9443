"""The simulated players: each scores over HTTP like any client, at its own interval."""

# ruff: noqa: S311 - randomness of a game, not cryptography
from __future__ import annotations

import asyncio
import heapq
import json
import logging
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPResponse

from tornado_app.core.boards import MAIN, Board, Order, Rule
from tornado_app.core.policies import RateLimit
from tornado_app.demo.games import GAMES, Move, body_of, path_of, values_of
from tornado_app.demo.identities import Mint, Persona

log = logging.getLogger("leaderboard.demo")

FIRST_ROUND_SECONDS = 3.0
"""Seconds in which all bots score for the first time."""

MIN_INTERVAL, MAX_INTERVAL = 2.0, 20.0
"""Bounds of the seconds between two moves of the fastest bot, whatever the rate limit is."""

MAX_MOVES_PER_SECOND = 100.0
"""Maximum moves per second of all bots, so that the demo does not use the whole machine."""

TOKEN_TTL, TOKEN_RENEWAL = 3600.0, 3000.0
"""Seconds that a bot's token is valid, and after which it is replaced."""

REQUEST_TIMEOUT = 10.0
CLOSE_SECONDS = 1.0
"""Maximum seconds for moves in progress at the end."""


class Bot:
    """A simulated player. `interval`: mean seconds between two moves; `rests_until`: no moves before this time.

    `scores`: by board, as far as the service has returned them.
    """

    __slots__ = ("interval", "persona", "renew_at", "rests_until", "scores", "token")

    def __init__(self, persona: Persona, interval: float) -> None:
        self.persona = persona
        self.interval = interval
        self.scores: dict[str, int] = {}
        self.rests_until = 0.0
        self.token = ""
        self.renew_at = 0.0


class Bots:
    """Bots that play on the `boards` of the service at `url` until `run` is cancelled.

    `max_points`: maximum points of a move; `actions`: points by action type.
    """

    def __init__(
        self,
        url: str,
        personas: list[Persona],
        *,
        mint: Mint,
        boards: Sequence[Board],
        actions: Mapping[str, int],
        max_points: int,
        limit: RateLimit,
    ) -> None:
        self._url = url
        self._mint = mint
        self._boards = boards
        self._actions = list(actions)
        # Actions with few points are frequent, so that every frontend yields about the same points.
        self._weights = [1 / points for points in actions.values()]
        self._max_points = max_points
        self._dice = random.Random()
        self._players = [
            Bot(persona, interval) for persona, interval in zip(personas, _intervals(personas, limit), strict=True)
        ]
        self._top_score = 0
        self._moves: set[asyncio.Task[None]] = set()
        self._logged: set[str] = set()

    async def run(self) -> None:
        """Play until cancelled; moves in progress are finished."""
        # No proxy and no certificate check: the bots connect to their own process.
        client = AsyncHTTPClient(
            force_instance=True, max_clients=100, defaults={"validate_cert": False, "request_timeout": REQUEST_TIMEOUT}
        )
        try:
            await self._play(client)
        finally:
            if self._moves:
                _, late = await asyncio.wait(self._moves, timeout=CLOSE_SECONDS)
                for turn in late:
                    turn.cancel()
            client.close()

    async def _play(self, client: AsyncHTTPClient) -> None:
        now = time.monotonic()
        entrance = max(FIRST_ROUND_SECONDS, len(self._players) / MAX_MOVES_PER_SECOND)
        due = [(now + entrance * self._dice.random(), number) for number in range(len(self._players))]
        heapq.heapify(due)
        while True:
            at, number = due[0]
            await asyncio.sleep(at - time.monotonic())
            player = self._players[number]
            heapq.heapreplace(due, (time.monotonic() + player.interval * self._dice.uniform(0.2, 1.8), number))
            if player.rests_until <= time.monotonic():
                turn = asyncio.create_task(self._move(client, player))
                self._moves.add(turn)
                turn.add_done_callback(self._ended)

    def _ended(self, turn: asyncio.Task[None]) -> None:
        self._moves.discard(turn)
        if not turn.cancelled() and (error := turn.exception()) is not None:
            log.error("simulated player failed", exc_info=error)

    async def _move(self, client: AsyncHTTPClient, player: Bot) -> None:
        """Make one move on a random board, and handle the response as a client would."""
        board = self._dice.choice(self._boards)
        try:
            if board.name == MAIN.name:
                await self._add_points(client, player)
            else:
                await self._submit(client, player, board)
        except (OSError, HTTPClientError) as error:
            log.debug("request of a simulated player failed: %s", error)

    async def _add_points(self, client: AsyncHTTPClient, player: Bot) -> None:
        """Score on `main` through a random frontend."""
        game = self._dice.choice(GAMES)
        move = Move(player.persona.user_id, self._points(player), self._action(), str(uuid4()))
        response = await self._call(client, player, game.method, game.path, game.body(move))
        if response.code == 404:  # this frontend does not create players
            place = f"/api/v1/players/{quote(player.persona.user_id, safe='')}"
            await self._call(client, player, "PUT", place, {})
            response = await self._call(client, player, game.method, game.path, game.body(move))
        self._handle_response(player, MAIN.name, game.score, response)
        self._top_score = max(self._top_score, player.scores.get(MAIN.name, 0))

    async def _submit(self, client: AsyncHTTPClient, player: Bot, board: Board) -> None:
        """Score on another board than `main`."""
        value = self._value(board, player.scores.get(board.name))
        response = await self._call(client, player, "POST", path_of(board), body_of(board, value))
        self._handle_response(player, board.name, "score", response)

    async def _call(
        self, client: AsyncHTTPClient, player: Bot, method: str, path: str, body: dict[str, Any]
    ) -> HTTPResponse:
        if time.monotonic() >= player.renew_at:
            player.token = self._mint(player.persona, TOKEN_TTL)
            player.renew_at = time.monotonic() + TOKEN_RENEWAL
        headers = {"Authorization": f"Bearer {player.token}", "Content-Type": "application/json"}
        return await client.fetch(
            self._url + path, method=method, headers=headers, body=json.dumps(body), raise_error=False
        )

    def _value(self, board: Board, score: int | None) -> int:
        """Points, or a score: the first one is mediocre, and of the later ones a third is better than `score`."""
        low, high = values_of(board)
        if board.rule is Rule.SUM:
            return min(self._max_points, self._dice.randint(low, high))
        best, worst = (low, high) if board.order is Order.ASCENDING else (high, low)
        if score is None:
            return best + round((worst - best) * self._dice.uniform(0.4, 1.0))
        goal, way = (best, 0.08) if self._dice.random() < 1 / 3 else (worst, 0.3)
        return score + round((goal - score) * self._dice.uniform(0, way))

    def _points(self, player: Bot) -> int:
        """A few points, and more for bots that are behind, so that positions change."""
        behind = max(0, self._top_score - player.scores.get(MAIN.name, 0))
        caught_up = min(40, int(behind * self._dice.random() * 0.3))
        return min(self._max_points, self._dice.randint(1, 12) + caught_up)

    def _action(self) -> str:
        return self._dice.choices(self._actions, self._weights)[0]

    def _handle_response(self, player: Bot, board: str, member: str, response: HTTPResponse) -> None:
        """`member`: that of the response with the new score."""
        if response.code in (200, 201):
            player.scores[board] = json.loads(response.body)[member]
        elif response.code in (429, 500, 503):
            player.rests_until = time.monotonic() + _seconds(response.headers.get("Retry-After"))
        elif (answer := response.body.decode("utf-8", "replace")) not in self._logged:
            self._logged.add(answer)
            log.warning("request of a simulated player was refused", extra={"status": response.code, "answer": answer})


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdecimal() else 1.0


def _intervals(personas: list[Persona], limit: RateLimit) -> list[float]:
    """The mean seconds between two moves of each bot; the fastest stays just within the rate limit."""
    fastest = min(max(limit.window / limit.updates, MIN_INTERVAL), MAX_INTERVAL)
    intervals = [fastest * random.Random(persona.user_id).uniform(1.1, 2.5) for persona in personas]
    busy = sum(1 / interval for interval in intervals)
    return [interval * max(1.0, busy / MAX_MOVES_PER_SECOND) for interval in intervals]
