"""The faults, by name. Each is a few lines: what it does to a stage, and what makes that good again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from pymongo.errors import PyMongoError

from tests.endurance.stage import Ground, Stage
from tests.support.wait import wait_until

Strike = Callable[[Stage, Random], Iterator[None]]


@dataclass(frozen=True)
class Fault:
    """`strike` does it, yields, and makes it good; between the two it holds for `seconds`, chosen by chance.

    `shuts`: readiness must be seen shut meanwhile.
    """

    name: str
    ground: Ground
    strike: Callable[[Stage, Random], contextlib.AbstractContextManager[None]]
    seconds: tuple[float, float]
    shuts: bool
    about: str


FAULTS: dict[str, Fault] = {}


def fault(ground: Ground, seconds: tuple[float, float] = (0, 0), *, shuts: bool = False) -> Callable[[Strike], Strike]:
    """Enter a function into the registry, under its name and with its docstring."""

    def enter(strike: Strike) -> Strike:
        name = strike.__name__.replace("_", "-")
        about = (strike.__doc__ or "").strip()
        FAULTS[name] = Fault(name, ground, contextlib.contextmanager(strike), seconds, shuts, about)
        return strike

    return enter


# -- processes ------------------------------------------------------------------------------------


@fault("linked")
def kill_service(stage: Stage, chance: Random) -> Iterator[None]:
    """kill -9 of one of two services; it is started again"""
    place = chance.choice(stage.places)
    place.service.kill()
    yield
    place.start()


@fault("linked")
def stop_service(stage: Stage, chance: Random) -> Iterator[None]:
    """SIGTERM to one of two services under load; it is started again"""
    place = chance.choice(stage.places)
    code = place.service.stop()
    assert code == 0, f"it ended with {code}"
    yield
    place.start()


@fault("embedded")
def kill_embedded(stage: Stage, chance: Random) -> Iterator[None]:
    """kill -9 of the embedded mongod; the service starts it again"""
    pid = stage.embedded_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    yield
    wait_until(lambda: stage.embedded_pid() not in (None, pid), 30, "another mongod runs")
    wait_until(lambda: _takes_writes(stage), 30, "it takes writes")


def _takes_writes(stage: Stage) -> bool:
    try:
        with stage.database() as database:
            return bool(database.command("hello")["isWritablePrimary"])
    except (PyMongoError, OSError):
        return False


@fault("three")
def kill_primary(stage: Stage, chance: Random) -> Iterator[None]:
    """kill -9 of the primary of three; it comes back as a secondary"""
    assert stage.replica_set is not None
    primary = stage.replica_set.wait_primary()
    primary.kill()
    yield
    stage.replica_set.wait_primary()
    primary.spawn()
