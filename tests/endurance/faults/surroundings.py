"""What the machine around a service can do: its clock, its name resolution, its file descriptors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from random import Random
from urllib.parse import urlsplit

from tests.endurance.faults.registry import fault
from tests.endurance.stage import OPEN_FILES, Stage

STEP = 600


@fault("linked", (3, 6))
def clock_step(stage: Stage, chance: Random) -> Iterator[None]:
    """one service's clock jumps 10 min ahead or back; then it is set right again"""
    place = chance.choice(stage.running)
    place.steer(clock=chance.choice((-STEP, STEP)))
    yield
    place.steer()


@fault("linked", (4, 8), shuts=True)
def no_names(stage: Stage, chance: Random) -> Iterator[None]:
    """one service cannot resolve the database's name, and its connections are reset"""
    place = chance.choice(stage.running)
    assert place.link is not None
    place.steer(deaf=True)
    place.link.cut()
    place.link.heal()
    yield
    place.steer()


@fault("linked", (3, 5))
def descriptors(stage: Stage, chance: Random) -> Iterator[None]:
    """more connections to one service than it has file descriptors for"""
    place = urlsplit(chance.choice(stage.running).service.url)
    idle = [socket.create_connection((place.hostname, place.port), timeout=10) for _ in range(OPEN_FILES + 100)]
    yield
    for connection in idle:
        connection.close()
