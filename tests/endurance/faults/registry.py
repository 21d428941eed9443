"""The type of a fault, and the registry of all faults."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.endurance.environment import Environment, Topology

Loss = Literal["history", "scores"] | None
Strike = Callable[[Environment, Random], Iterator[None]]


@dataclass(frozen=True)
class Fault:
    """`strike` does it, and makes it good at the end; it holds for so many `seconds`, between the two by chance.

    `shuts`: readiness must be seen shut meanwhile. `loses`: what the database itself loses by it: the change stream's
    history, after which the service's ledger knows sums only; or the scores, after which only what is shown can be held
    against the database. `alone`: it leaves no room for a second one. `about`: what it is, for a person.
    """

    name: str
    topology: Topology
    strike: Callable[[Environment, Random], contextlib.AbstractContextManager[None]]
    seconds: tuple[float, float]
    shuts: bool
    loses: Loss
    alone: bool
    about: str


FAULTS: dict[str, Fault] = {}


def fault(
    topology: Topology,
    seconds: tuple[float, float] = (0, 0),
    *,
    shuts: bool = False,
    loses: Loss = None,
    alone: bool = False,
) -> Callable[[Strike], Strike]:
    """Enter a function that does it, yields, and makes it good: under its name, with its docstring."""

    def enter(strike: Strike) -> Strike:
        name = strike.__name__.replace("_", "-")
        about = " ".join((strike.__doc__ or "").split())
        FAULTS[name] = Fault(name, topology, contextlib.contextmanager(strike), seconds, shuts, loses, alone, about)
        return strike

    return enter
