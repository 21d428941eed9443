"""What a network between service and database can do: the proxies of the ground `linked` do it."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.endurance.faults.registry import fault
from tests.endurance.stage import Stage
from tests.support.proxy import Proxy

KBIT_64 = 8_000
"""Bytes a second."""


def _one(stage: Stage, chance: Random) -> Proxy:
    """The link of one of the services."""
    link = chance.choice(stage.running).link
    assert link is not None
    return link


@fault("linked", (2, 6))
def cut(stage: Stage, chance: Random) -> Iterator[None]:
    """one service's connections to the database are reset, new ones refused, for some seconds"""
    link = _one(stage, chance)
    link.cut()
    yield
    link.heal()


@fault("linked", (12, 14))
def half_open(stage: Stage, chance: Random) -> Iterator[None]:
    """one service's connections stay open and never bring a byte again; new ones are well"""
    _one(stage, chance).forsake()
    yield


@fault("linked", (8, 12), shuts=True)
def black_hole(stage: Stage, chance: Random) -> Iterator[None]:
    """nothing passes between one service and the database, in either direction; then it arrives"""
    link = _one(stage, chance)
    link.freeze()
    yield
    link.heal()


@fault("linked", (6, 10), shuts=True)
def answers_lost(stage: Stage, chance: Random) -> Iterator[None]:
    """one service's requests reach the database and their answers never come; then the connections are reset"""
    link = _one(stage, chance)
    link.freeze(answers_only=True)
    yield
    link.cut()
    link.heal()


@fault("linked", (6, 10))
def slow_link(stage: Stage, chance: Random) -> Iterator[None]:
    """500 ms more there and back between one service and the database"""
    link = _one(stage, chance)
    link.slow(delay=0.25)
    yield
    link.heal()


@fault("linked", (6, 10))
def narrow_link(stage: Stage, chance: Random) -> Iterator[None]:
    """64 kbit/s for each connection between one service and the database"""
    link = _one(stage, chance)
    link.slow(rate=KBIT_64)
    yield
    link.heal()
