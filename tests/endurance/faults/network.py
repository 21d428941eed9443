"""Network faults between service and database, by the proxies of the topology `linked`."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.endurance.environment import Environment
from tests.endurance.faults.registry import fault
from tests.support.proxy import Proxy

KBIT_64 = 8_000
"""Bytes a second."""


def _one(environment: Environment, chance: Random) -> Proxy:
    """The proxy between one of the services and the database."""
    proxy = chance.choice(environment.running).proxy
    assert proxy is not None
    return proxy


@fault("linked", (2, 6))
def cut(environment: Environment, chance: Random) -> Iterator[None]:
    """one service's connections to the database are reset, new ones refused, for some seconds"""
    proxy = _one(environment, chance)
    proxy.cut()
    yield
    proxy.heal()


@fault("linked", (12, 14))
def half_open(environment: Environment, chance: Random) -> Iterator[None]:
    """one service's connections stay open and never bring a byte again; new ones are well"""
    _one(environment, chance).forsake()
    yield


@fault("linked", (8, 12), shuts=True)
def black_hole(environment: Environment, chance: Random) -> Iterator[None]:
    """nothing passes between one service and the database, in either direction; then it arrives"""
    proxy = _one(environment, chance)
    proxy.freeze()
    yield
    proxy.heal()


@fault("linked", (6, 10), shuts=True)
def answers_lost(environment: Environment, chance: Random) -> Iterator[None]:
    """one service's requests reach the database and their answers never come; then the connections are reset"""
    proxy = _one(environment, chance)
    proxy.freeze(answers_only=True)
    yield
    proxy.cut()
    proxy.heal()


@fault("linked", (6, 10))
def slow_link(environment: Environment, chance: Random) -> Iterator[None]:
    """500 ms more there and back between one service and the database"""
    proxy = _one(environment, chance)
    proxy.slow(delay=0.25)
    yield
    proxy.heal()


@fault("linked", (6, 10))
def narrow_link(environment: Environment, chance: Random) -> Iterator[None]:
    """64 kbit/s for each connection between one service and the database"""
    proxy = _one(environment, chance)
    proxy.slow(rate=KBIT_64)
    yield
    proxy.heal()
