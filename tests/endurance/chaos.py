"""`python -m tests.endurance.chaos`: three stores with three clocks write to one replica set that fails all the time.

Their caches follow each other's writes.
Answers are lost, primaries step down or are killed, callers go away, ids repeat. At the end the oplog is the truth:
each answer must be borne out by it, each action counts once, and no limit was exceeded. Exit code 1: it was not so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.support.ledger_harness import NullListener
from tests.support.mongod import ReplicaSet
from tornado_app.core.boards import MAIN
from tornado_app.core.errors import DatabaseError, LeaderboardError
from tornado_app.core.history import HistoryEntry, decode
from tornado_app.core.model import Action, Profile, Receipt
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.client.cluster_time import wall_clock
from tornado_app.mongo.client.driver import Client, connect, maybe_await
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.store import MongoStore
from tornado_app.runtime.tasks import cancel_and_wait

NAME = "chaos"
PLAYERS = 40
CALLERS = 48
POLICY = WritePolicy(RateLimit(10, 2.0), history_retention=60)
SKEWS = (-20_000, 0, 20_000)
"""Milliseconds by which the clocks of the stores begin apart; each steps by up to as much, within `MAX_CLOCK_SKEW`."""

REPEATED = 0.3
"""Share of submissions that repeat an id."""

REMEMBERED = 200
"""Ids that may be repeated: so few that none is older than the history's retention."""

LOST = {
    "connections that close before the write": {"closeConnection": True},
    "answers that are lost": {"writeConcernError": {"code": 91, "errmsg": "the primary is shutting down"}},
    "failed writes": {"errorCode": 10107, "errorLabels": ["RetryableWriteError"]},
}


@dataclass
class Sent:
    """One action, and what its submissions got: receipts, refusals by their code, and `unclear` ones."""

    player: str
    id: str
    points: int
    receipts: list[Receipt] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unclear: int = 0


class Chaos:
    """A run of so many submissions."""

    def __init__(self, replica_set: ReplicaSet, submissions: int, seed: int) -> None:
        self._replica_set = replica_set
        self._chance = Random(seed)
        self._left = submissions
        self.sent: list[Sent] = []
        self.faults: defaultdict[str, int] = defaultdict(int)

    async def run(self) -> list[str]:
        """The problems; none if all is well."""
        async with self._stores() as stores:
            hurting = asyncio.ensure_future(self._hurt())
            await asyncio.gather(*(self._call(stores) for _ in range(CALLERS)))
            hurting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hurting
        await asyncio.to_thread(self._replica_set.wait_healthy)
        return list(problems(self._replica_set, self.sent))

    @contextlib.asynccontextmanager
    async def _stores(self) -> AsyncIterator[list[MongoStore]]:
        clients: list[Client] = [connect(self._replica_set.uri) for _ in SKEWS]
        await indexes.ensure(clients[0], NAME)
        self._skews = list(SKEWS)
        stores = [
            MongoStore(client, NAME, policy=POLICY, timeout=8.0, clock=lambda n=n: wall_clock() + self._skews[n])
            for n, client in enumerate(clients)
        ]  # fmt: skip
        feeds = [
            asyncio.ensure_future(Feed(client, NAME, NullListener(), boards={MAIN: store.cache}).run())
            for client, store in zip(clients, stores, strict=True)
        ]
        try:
            yield stores
        finally:
            for feed in feeds:
                await cancel_and_wait(feed)
            for store in stores:
                await store.close()
            for client in clients:
                await maybe_await(client.close())

    async def _call(self, stores: list[MongoStore]) -> None:
        chance = self._chance
        while self._left > 0:
            self._left -= 1
            if self.sent and chance.random() < REPEATED:
                sent = chance.choice(self.sent[-REMEMBERED:])
            else:
                sent = Sent(f"player-{chance.randrange(PLAYERS)}", f"action-{len(self.sent)}", chance.randrange(1, 10))
                self.sent.append(sent)
            action = Action(sent.player, sent.points, sent.id, b"f", Profile(), create_player=True, frontend="A")
            patience = chance.choice([0.003, 20.0, 20.0, 20.0, 20.0])
            try:
                async with asyncio.timeout(patience):
                    sent.receipts.append(await chance.choice(stores).apply(action))
            except (TimeoutError, DatabaseError):
                sent.unclear += 1
            except LeaderboardError as refused:
                sent.refused.append(refused.code)
                await asyncio.sleep(0.01)

    # -- what goes wrong ----------------------------------------------------------------------------------

    async def _hurt(self) -> None:
        chance = self._chance
        while True:
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            fault = chance.choice([*LOST, *LOST, "a step of a clock", "a step-down", "a killed primary"])
            self.faults[fault] += 1
            with contextlib.suppress(PyMongoError):  # there is no primary at the moment
                if fault in LOST:
                    await asyncio.to_thread(self._lose, LOST[fault], chance.randrange(1, 4))
                elif fault == "a step of a clock":
                    place = chance.randrange(len(SKEWS))
                    self._skews[place] = max(
                        SKEWS[0], min(SKEWS[-1], self._skews[place] + chance.randrange(-9000, 9000))
                    )
                elif fault == "a step-down":
                    await asyncio.to_thread(self._step_down)
                else:
                    await self._kill()

    def _lose(self, how: dict[str, Any], times: int) -> None:
        data = {"failCommands": ["update", "find"], "appName": "leaderboard", **how}
        with self._client() as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})

    def _step_down(self) -> None:
        with self._client() as client:
            client.admin.command({"replSetStepDown": 3, "secondaryCatchUpPeriodSecs": 1, "force": True})

    async def _kill(self) -> None:
        """kill -9 the primary and start it again: what it had not replicated is rolled back."""
        primary = await asyncio.to_thread(self._replica_set.primary)
        if primary is None:
            return
        await asyncio.to_thread(primary.kill)
        try:
            await asyncio.sleep(self._chance.uniform(0.5, 3))
        finally:
            primary.spawn()
        await asyncio.to_thread(primary.wait)

    def _client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self._replica_set.uri, serverSelectionTimeoutMS=5000)


# -- the truth ------------------------------------------------------------------------------------------------


def problems(replica_set: ReplicaSet, sent: list[Sent]) -> Iterator[str]:
    """What differs between the answers and the oplog, and in the oplog by itself."""
    with MongoClient(replica_set.uri) as client:
        documents = {document["_id"]: document for document in client[NAME]["players"].find()}
        writes = oplog(client)
    scores: dict[tuple[str, str], list[tuple[HistoryEntry, int]]] = defaultdict(list)
    for player, entries in writes.items():
        numbers = [number for number, _ in entries]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{player}: the writes are numbered {numbers[:20]}…"
        score = 0
        for _, entry in entries:
            score += entry.points
            scores[player, entry.id or ""].append((entry, score))
        if documents[player]["score"] != score or documents[player]["seq"] != len(entries):
            yield f"{player}: {documents[player]['score']} points and seq {documents[player]['seq']}, not {score}"
        yield from _exceeded(player, [entry for _, entry in entries])
    for action in sent:
        yield from _differences(action, scores.pop((action.player, action.id), []))
    yield from (f"nothing was sent for {player}, {action_id}" for player, action_id in scores)


def _exceeded(player: str, entries: list[HistoryEntry]) -> Iterator[str]:
    """Of any `updates` + 1 entries in their order, the first has left the window of the last, by that one's clock."""
    updates = POLICY.limit.updates
    for earlier, later in zip(entries, entries[updates:], strict=False):
        if earlier.at > later.at - POLICY.limit.window_ms:
            yield f"{player}: {updates + 1} updates in a window, the last at {later.at}"
    if len({entry.write_id for entry in entries}) < len(entries):
        yield f"{player}: a write id was written twice"


def _differences(action: Sent, found: list[tuple[HistoryEntry, int]]) -> Iterator[str]:
    what = f"{action.id} of {action.player}"
    if len(found) > 1:
        yield f"{what} counts {len(found)} times"
    if not found and action.receipts:
        yield f"{what} is lost"
    if found and not action.receipts and not action.unclear:
        yield f"{what} counts, and was refused: {action.refused}"
    for entry, score in found:
        if entry.points != action.points:
            yield f"{what} has {entry.points} points, not {action.points}"
        yield from (f"{what} was answered with {r.score}, not {score}" for r in action.receipts if r.score != score)
    if sum(not receipt.replayed for receipt in action.receipts) > 1:
        yield f"{what} was answered as new more than once"


def oplog(client: MongoClient[dict[str, Any]]) -> dict[str, list[tuple[int, HistoryEntry]]]:
    """The history entries of each player with their numbers, in the order in which they were written."""
    found: dict[str, list[tuple[int, HistoryEntry]]] = defaultdict(list)
    for operation in client["local"]["oplog.rs"].find({"ns": f"{NAME}.players", "op": {"$in": ["i", "u"]}}):
        if operation["op"] == "i":
            player, added = operation["o"]["_id"], operation["o"]["h"]
        else:
            player, added = operation["o2"]["_id"], operation["o"]["diff"].get("sh", {}).get("i", {})
        for number, text in sorted((int(key), text) for key, text in added.items()):
            entry = decode(text)
            assert entry is not None
            found[player].append((number, entry))
    return found


def main() -> int:
    """Run what the arguments ask for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance.chaos", description=__doc__)
    parser.add_argument("--submissions", type=int, default=50_000, help="how many (default: 50,000)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of the order (default: by chance)")
    options = parser.parse_args()
    with ReplicaSet(3) as replica_set:
        chaos = Chaos(replica_set, options.submissions, options.seed)
        found = asyncio.run(chaos.run())
    sys.stdout.write(
        f"{summary(chaos)} (seed {options.seed})\n" + "".join(f"    {problem}\n" for problem in found[:40])
    )
    return int(bool(found))


def summary(chaos: Chaos) -> str:
    """What was sent and what went wrong, in a line."""
    receipts = [receipt for sent in chaos.sent for receipt in sent.receipts]
    faults = ", ".join(f"{count} × {fault}" for fault, count in sorted(chaos.faults.items()))
    return (
        f"{len(chaos.sent)} actions: {len(receipts)} answers, {sum(r.replayed for r in receipts)} of them replays, "
        f"{sum(len(s.refused) for s in chaos.sent)} refusals, {sum(s.unclear for s in chaos.sent)} unclear; {faults}"
    )


if __name__ == "__main__":
    sys.exit(main())
