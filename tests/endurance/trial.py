"""One trial: load, a fault at a random moment, and the checks after it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from pymongo.database import Database
from pymongo.errors import PyMongoError

from tests.endurance.account import PERIOD, Verdict, judge, judge_results
from tests.endurance.agreement import differences, unready
from tests.endurance.environment import Environment
from tests.endurance.faults import Fault
from tests.endurance.observer import MORE_DESCRIPTORS, busiest, complaints, watching
from tests.support.ledger import problems

PAUSE = 0.05
PATIENCE = 40.0
"""Seconds after which clients and services that still do not agree have failed."""

MOST_UNTIL_SEALED = 90.0
"""Seconds until all results are final: ten of grace, and a backlog of epochs while there was no primary."""

MOST_UNTIL_SHOWN, MOST_UNTIL_READY = 2.0, 10.0
"""Seconds after the fault within which all that is shown should be right, and readiness open."""


@dataclass(frozen=True)
class Recovery:
    """Seconds from the end of the fault until everything was well again.

    `answered`: each client has its answer, and an update through each service. `shown`: ranks, reads and all sockets
    are as the database. `ready`: readiness is open. `stuck`: what never came.
    """

    answered: float
    shown: float
    ready: float
    stuck: tuple[str, ...]

    @property
    def late(self) -> bool:
        """Whether it took longer than it should; a machine that is busy with other things makes it so too."""
        return self.shown > MOST_UNTIL_SHOWN or self.ready > MOST_UNTIL_READY


@dataclass(frozen=True)
class Outcome:
    """What a trial found. `away`: seconds from the blow until its cause was gone. `busiest`: see `observer.busiest`."""

    fault: str
    seed: int
    acknowledged: int
    unclear: int
    lost: int
    doubled: int
    away: float
    recovery: Recovery
    busiest: int
    problems: tuple[str, ...]


def run(environment: Environment, faults: list[Fault], seed: int) -> Outcome:
    """Run load, the overlapping faults, and the checks."""
    chance = Random(seed)
    environment.wait_healthy()
    first = len(environment.account.sent)
    with watching(environment) as watch:
        environment.loop.run(environment.traffic.begin())
        time.sleep(chance.uniform(0.3, 2.0))  # any moment will do
        struck = time.monotonic()
        broken = _strike(environment, faults, chance)
        away = time.monotonic() - struck
        recovery = recover(environment)
    losses = {fault.loses for fault in faults}
    verdict = Verdict([], [], [])
    if "scores" not in losses and not recovery.stuck:
        verdict = verdict_of(environment, history="history" not in losses)
    news = [instance.news() for instance in environment.instances]
    found = [*broken, *recovery.stuck, *verdict.problems, *environment.account.take_odd(), *_leaks(environment)]
    found += [text for log in news for text in complaints(log)]
    if [fault.shuts for fault in faults] == [True] and not watch.shut:
        found.append("readiness was never shut")
    sent = environment.account.sent[first:]
    return Outcome(
        label(faults, environment.processes), seed,
        sum(bool(action.scores) for action in sent), sum(action.unclear for action in sent),
        len(verdict.lost), len(verdict.doubled), away, recovery, max(map(busiest, news)), tuple(found),
    )  # fmt: skip


def label(faults: list[Fault], processes: int) -> str:
    """What was tried, as in the reports."""
    names = "+".join(fault.name for fault in faults)
    return names if processes == 1 else f"{names}, {processes} processes"


def _strike(environment: Environment, faults: list[Fault], chance: Random) -> list[str]:
    """Run the overlapping faults until they are repaired; return the errors."""
    wrong = []
    try:
        with contextlib.ExitStack() as blows:
            try:
                for fault in faults:
                    blows.enter_context(fault.strike(environment, chance))
                time.sleep(max(chance.uniform(*fault.seconds) for fault in faults))
            except (AssertionError, OSError) as error:  # the faults are repaired nevertheless
                wrong.append(repr(error))
        environment.start_ended()
    except (AssertionError, OSError, PyMongoError) as error:
        wrong.append(repr(error))
    return wrong


def recover(environment: Environment) -> Recovery:
    """Let the clients finish, and wait until every one has its answer, all that is shown is right and all is ready."""
    began = time.monotonic()
    settling = environment.loop.start(environment.traffic.settle())
    waits: tuple[Callable[[], list[str]], ...] = (
        lambda: [] if settling.done() else ["clients wait for answers"],
        lambda: differences(environment),
        lambda: unready(environment),
    )
    until = [0.0] * len(waits)
    wrong = ["nothing was looked at"]
    while wrong and time.monotonic() < began + PATIENCE:
        wrong = []
        for number, wait in enumerate(waits):
            if found := wait():
                until[number] = time.monotonic() - began
                wrong += found
        time.sleep(PAUSE)
    if not wrong:
        settling.result()
    answered, shown, ready = until
    return Recovery(answered, shown, ready, tuple(wrong))


def verdict_of(environment: Environment, *, history: bool) -> Verdict:
    """The account against the database, once the service's ledger has everything; `history`: it has seen everything."""
    end = time.monotonic() + PATIENCE
    with environment.database() as database:
        while time.monotonic() < end and problems(database):
            time.sleep(PAUSE)
        entries = list(database["ledger"].find())
        players = list(database["players"].find({}, {"score": 1, "h": 1}))
        verdict = judge(environment.account, entries, players)
        if environment.topology == "periods":
            last = max(entry["epochs"][PERIOD] for entry in entries)
            results = _results(database, last)
            verdict.wrong.extend(judge_results(environment.account, entries, players, results))
        unseen = [str(entry) for entry in entries if entry["kind"] != "action"] if history else []
        return Verdict(verdict.lost, verdict.doubled, verdict.wrong + problems(database) + unseen)


def _results(database: Database[dict[str, Any]], last: int) -> dict[int, dict[str, int]]:
    """The scores of players in the final results of epochs up to `last`, once all are final or should be."""
    end = time.monotonic() + MOST_UNTIL_SEALED
    sealed = {"period": PERIOD, "epoch": {"$lte": last}, "state": "sealed"}
    while database["periods"].count_documents(sealed) < last and time.monotonic() < end:
        time.sleep(PAUSE)
    return {
        epoch: {row["_id"]: row["score"] for row in database[f"results.main.{PERIOD}.{epoch}"].find()}
        for epoch in database["periods"].distinct("epoch", sealed)
    }


def _leaks(environment: Environment) -> list[str]:
    """Descriptors that stay open after the clients have closed their connections."""
    end = time.monotonic() + PATIENCE
    while True:
        found = []
        for instance in environment.running:
            now = instance.open_files()
            if now > instance.descriptors + MORE_DESCRIPTORS:
                found.append(
                    f"{instance.service.url} has {now} descriptors open, {instance.descriptors} after its start"
                )
        if not found or time.monotonic() > end:
            return found
        time.sleep(PAUSE)
