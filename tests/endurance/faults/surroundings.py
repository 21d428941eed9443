"""Faults of the machine: clock, name resolution, file descriptors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from random import Random
from urllib.parse import urlsplit

from tests.endurance.environment import OPEN_FILES, Environment
from tests.endurance.faults.registry import fault

STEP = 600


@fault("linked", (3, 6))
def clock_step(environment: Environment, chance: Random) -> Iterator[None]:
    """one service's clock jumps 10 min ahead or back; then it is set right again"""
    instance = chance.choice(environment.running)
    instance.inject(clock=chance.choice((-STEP, STEP)))
    yield
    instance.inject()


@fault("linked", (4, 8), shuts=True)
def no_names(environment: Environment, chance: Random) -> Iterator[None]:
    """one service cannot resolve the database's name, and its connections are reset"""
    instance = chance.choice(environment.running)
    assert instance.proxy is not None
    instance.inject(no_dns=True)
    instance.proxy.cut()
    instance.proxy.heal()
    yield
    instance.inject()


@fault("linked", (3, 5))
def descriptors(environment: Environment, chance: Random) -> Iterator[None]:
    """more connections to one service than it has file descriptors for"""
    address = urlsplit(chance.choice(environment.running).service.url)
    many = environment.processes * (OPEN_FILES + 100)
    idle = [socket.create_connection((address.hostname, address.port), timeout=10) for _ in range(many)]
    yield
    for connection in idle:
        connection.close()
