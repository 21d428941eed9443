"""Client faults: clients that do not read, reconnect at once, are slow, disconnect, or send again."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from random import Random
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

from tests.endurance.clients import SOCKETS, Writer
from tests.endurance.environment import Environment
from tests.endurance.faults.registry import fault
from tests.support.service import RunningService, token

STALLED = 50
STORM = 1000
SLOW = 100
TORN = 200
AGAIN, AT_ONCE = 60, 4

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: a close that sends a reset."""


def _connect(service: RunningService, *, buffer: int | None = None) -> socket.socket:
    address = urlsplit(service.url)
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(10)
    connection.connect((address.hostname, address.port))
    return connection


@fault("linked", (6, 10))
def stalled_readers(environment: Environment, chance: Random) -> Iterator[None]:
    """50 clients open a socket and read nothing"""
    stalled = []
    for _ in range(STALLED):
        connection = _connect(chance.choice(environment.running).service, buffer=1024)
        head = f"GET {chance.choice(SOCKETS)} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(
            f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        stalled.append(connection)
    yield
    for connection in stalled:
        connection.close()


@fault("linked", (1, 2))
def reconnect_storm(environment: Environment, chance: Random) -> Iterator[None]:
    """1,000 clients connect at once; each must be shown the board"""
    shown = environment.loop.run(_storm([instance.service.ws_url + SOCKETS[0] for instance in environment.running]), 60)
    assert shown == STORM, f"{shown} of {STORM} were shown the board"
    yield


async def _storm(urls: list[str]) -> int:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(url: str) -> bool:
            try:
                async with session.ws_connect(url) as connection:
                    return "top_scores" in await connection.receive_json(timeout=20)
            except (aiohttp.ClientError, TimeoutError):
                return False

        return sum(await asyncio.gather(*(one(urls[number % len(urls)]) for number in range(STORM))))


@fault("linked", (11, 13))
def slow_bodies(environment: Environment, chance: Random) -> Iterator[None]:
    """100 clients announce a body and send a byte of it a second"""
    sending = [environment.loop.start(_trickle(chance.choice(environment.running).service)) for _ in range(SLOW)]
    yield
    for each in sending:
        each.cancel()


async def _trickle(service: RunningService) -> None:
    address = urlsplit(service.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(b"POST /api/score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(1)
    except ConnectionError:
        return  # the service has closed the connection
    finally:
        writer.close()


@fault("linked")
def torn_requests(environment: Environment, chance: Random) -> Iterator[None]:
    """200 updates that break off at any byte, by a close or a reset"""
    for _ in range(TORN):
        player, action = chance.choice(environment.players), uuid4().hex
        environment.account.open(action, player, 3).unclear = True
        body = json.dumps({"score": 3}).encode()
        head = f"POST /api/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(player)}\r\n"
        head += f"Idempotency-Key: {action}\r\n"
        request = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        with _connect(chance.choice(environment.running).service) as connection:
            if chance.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.sendall(request[: chance.randint(1, len(request))])
    yield


@fault("linked")
def retries(environment: Environment, chance: Random) -> Iterator[None]:
    """60 actions, each sent four times at once, through both services"""
    writer = Writer(
        lambda: [instance.service for instance in environment.running], environment.account, environment.players, chance
    )
    session = environment.traffic.session
    environment.loop.run(environment.traffic.add(*(writer.write(session, copies=AT_ONCE) for _ in range(AGAIN))))
    yield
