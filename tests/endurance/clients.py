"""The clients: they write through all five frontends, read, and listen on every kind of socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp

from tests.endurance.account import PERIOD, Account, Sent
from tests.support.frontends import WRITES, WriteForm
from tests.support.service import RunningService, token

ANSWER_SECONDS = 12.0
"""How long a client waits for an answer: longer than the service's own deadline for the database."""

RETRY_PAUSE = 0.2
KEPT = 2.0
"""Seconds that a client keeps a connection which it does not use."""

NOT_SENT = -1
GIVES_UP, SENT_AGAIN = 0.1, 0.1
"""Parts of the actions that are sent once whatever comes of it, and that are sent again though they were answered."""
WRITERS, READERS = 8, 2
READS = ("/api/top-scores", "/api/leaderboard")
SOCKETS = ("/ws/scoreboard", "/ws/score", "/ws/leaderboard")

AGE = 86_400.0
"""Seconds since the clients' tokens were issued: a service whose clock is late must know them."""

Services = Callable[[], list[RunningService]]
"""Those that run now: one that was killed comes back at another port."""


class Answer(NamedTuple):
    """`status` is 0 where no answer came, and `NOT_SENT` where there was no connection to ask on."""

    status: int = 0
    retry_after: bool = False
    json: Any = None


async def ask(session: aiohttp.ClientSession, method: str, url: str, **options: Any) -> Answer:
    """One request. A connection that fails, or says nothing for too long, raises nothing."""
    try:
        async with session.request(method, url, **options) as answer:
            body = await answer.read()
            return Answer(answer.status, "Retry-After" in answer.headers, json.loads(body) if body else None)
    except aiohttp.ClientConnectorError:
        return Answer(NOT_SENT)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Answer()


class Writer:
    """A client that scores for many players; each action has an id, and is sent again until it is answered for good."""

    def __init__(self, services: Services, account: Account, players: list[str], chance: Random) -> None:
        self._services = services
        self._account = account
        self._players = players
        self._chance = chance
        self._tokens: dict[str, str] = {}

    async def run(self, session: aiohttp.ClientSession, stop: asyncio.Event) -> None:
        """Write until stopped; then finish the pending actions."""
        while not stop.is_set():
            await self.write(session, patient=self._chance.random() > GIVES_UP)
            await asyncio.sleep(self._chance.uniform(0, 0.08))

    async def write(
        self,
        session: aiohttp.ClientSession,
        *,
        patient: bool = True,
        copies: int = 1,
        through: RunningService | None = None,
    ) -> None:
        """One action of a random player, through `service` or any, in `copies` concurrent requests."""
        chance, player = self._chance, self._chance.choice(self._players)
        form = chance.choice(WRITES)
        body = form.body(player)
        headers = {} if form.carries_id else {"Idempotency-Key": uuid4().hex}
        action_id = headers.get("Idempotency-Key") or body.get("actionId") or body["action_id"]
        action = self._account.open(action_id, player, form.points)
        headers["Authorization"] = f"Bearer {self._token(player)}"

        async def settle() -> None:
            while True:
                service, began = through or chance.choice(self._services()), time.monotonic()
                answer = await ask(session, form.method, service.url + form.path, json=body, headers=headers)
                self._account.took.append(time.monotonic() - began)
                settled = self._take(form, action, answer)
                if settled and answer.status < 300 and chance.random() < SENT_AGAIN:
                    continue  # the client did not see it
                if settled or not patient:
                    return
                await asyncio.sleep(RETRY_PAUSE * chance.uniform(0.5, 1.5))

        await asyncio.gather(*(settle() for _ in range(copies)))

    def _take(self, form: WriteForm, action: Sent, answer: Answer) -> bool:
        """Record a response; return whether the action is finished."""
        if answer.status in (200, 201):
            action.scores.append(answer.json[form.score])
            if PERIOD in (periods := answer.json.get("periods", {})):
                action.epochs.add(periods[PERIOD]["epoch"])
            return True
        if answer.status == 429 and answer.retry_after:
            return True
        if answer.status > 0 and not (answer.status in (500, 503) and answer.retry_after):
            self._account.odd.append(f"{form.method} {form.path} was answered with {answer}")
        action.unclear |= answer.status != NOT_SENT
        return False

    def _token(self, player: str) -> str:
        if player not in self._tokens:
            issued = time.time() - AGE
            self._tokens[player] = token(player, ttl=2 * AGE, clock=lambda: issued)
        return self._tokens[player]


class Reader:
    """A client that reads the board, and players' own pages."""

    def __init__(self, services: Services, account: Account, players: list[str], chance: Random) -> None:
        self._services = services
        self._account = account
        self._chance = chance
        self._paths = [*READS, *(f"/api/v1/players/{player}" for player in players[:10])]

    async def run(self, session: aiohttp.ClientSession, stop: asyncio.Event) -> None:
        """Read until stopped."""
        while not stop.is_set():
            path = self._chance.choice(self._paths)
            answer = await ask(session, "GET", self._chance.choice(self._services()).url + path)
            expected = answer.status in (NOT_SENT, 0, 200, 404) or (answer.status in (500, 503) and answer.retry_after)
            if not expected or (answer.status == 404 and path in READS):
                self._account.odd.append(f"GET {path} was answered with {answer}")
            await asyncio.sleep(self._chance.uniform(0, 0.1))


class Listener:
    """A client on a socket of one service, `number`; it comes back when the socket ends.

    `rows`: user and score of the top 10 as last seen.
    """

    def __init__(self, services: Services, account: Account, number: int, path: str, chance: Random) -> None:
        self.number = number
        self.path = path
        self._services = services
        self._account = account
        self._chance = chance
        self._places: dict[int, tuple[str, int]] = {}
        self._version = 0

    @property
    def rows(self) -> list[tuple[str, int]]:
        """Player and score, the best first."""
        return [self._places[position] for position in sorted(self._places)]

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Listen until cancelled."""
        while True:
            url = self._services()[self.number].ws_url + self.path
            try:
                async with session.ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=1.0)) as socket:
                    self._version, self._places = 0, {}
                    async for message in socket:
                        self._take(json.loads(message.data))
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass  # as when the service is away
            await asyncio.sleep(self._chance.uniform(0.05, 0.2))

    def _take(self, message: dict[str, Any]) -> None:
        if message["version"] < self._version:
            self._account.odd.append(f"{self.path} showed {message['version']} after {self._version}")
        self._version = message["version"]
        if self.path == "/ws/leaderboard":
            for row in message["data"]["updatedPositions"]:
                self._places.pop(row["position"], None)
                if row["userId"] is not None:
                    self._places[row["position"]] = (row["userId"], row["score"])
            return
        rows = message["top_scores"] if self.path == "/ws/scoreboard" else message["data"]["leaderboard"]
        self._places = {n: (row["user_id"], row["score"]) for n, row in enumerate(rows)}


class Traffic:
    """All clients of an environment. `begin` and `pause` the writing and reading; listeners stay."""

    def __init__(self, services: Services, account: Account, players: list[str], seed: int) -> None:
        chance = Random(seed)
        self._writers = [Writer(services, account, players, chance) for _ in range(WRITERS)]
        self._readers = [Reader(services, account, players, chance) for _ in range(READERS)]
        self.listeners = [
            Listener(services, account, number, path, chance) for number in range(len(services())) for path in SOCKETS
        ]
        self._services = services
        self._stop = asyncio.Event()
        self._busy: list[asyncio.Task[None]] = []
        self._listening: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect the listeners."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        wires = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT)
        self.session = aiohttp.ClientSession(connector=wires, timeout=timeout)
        self._patience = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None, sock_connect=5)
        )
        self._listening = [asyncio.ensure_future(each.run(self._patience)) for each in self.listeners]

    async def close(self) -> None:
        """End all of them."""
        for task in (*self._busy, *self._listening):
            task.cancel()
        await asyncio.gather(*self._busy, *self._listening, return_exceptions=True)
        await self.session.close()
        await self._patience.close()

    async def begin(self) -> None:
        """Write and read."""
        self._stop.clear()
        self._busy = [asyncio.ensure_future(each.run(self.session, self._stop)) for each in self._clients()]

    def _clients(self) -> list[Writer | Reader]:
        return [*self._writers, *self._readers]

    async def add(self, *work: Coroutine[Any, Any, None]) -> None:
        """Run these too, and finish them with the others."""
        self._busy += [asyncio.ensure_future(each) for each in work]

    async def settle(self) -> None:
        """Start nothing new, write once more through each service, and wait for all final responses."""
        self._stop.set()
        probes = [self._writers[0].write(self.session, through=service) for service in self._services()]
        await asyncio.gather(*self._busy, *probes)
        self._busy = []
