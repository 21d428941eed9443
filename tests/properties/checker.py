"""Applies steps to a real board and to the model, and compares them: two stores on a mongod, moderation, the ledger."""

from __future__ import annotations

import asyncio
import copy
from itertools import count
from typing import Any

from tests.properties import model, steps
from tests.properties.answers import answer, board_of, outcome, result_of, state
from tests.properties.model import Answer, Model, Player, RateLimitState, State, Wanted
from tests.support.wait import eventually
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.ledger import Entry, EntryKind
from tornado_app.core.model import Action, Profile, ProfileChange
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.policies import RateLimit, WritePolicy
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.ledger.writer import LedgerWriter
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.documents import BALANCE_FIELDS, last_entry
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore

START = 1_800_000_000_000
"""Milliseconds since the epoch."""


class Service:
    """What all boards share: a client for each process, and the ledger writer."""

    def __init__(self, uri: str, database: str) -> None:
        self._uri, self.database = uri, database
        self._numbers = count()

    async def open(self) -> None:
        self.clients = [connect(self._uri) for _ in range(2)]
        await indexes.ensure(self.clients[0], self.database)
        self.documents = self.clients[0][self.database]["players"]
        self.ledger = Ledger(self.clients[0][self.database])
        self._writer = LedgerWriter(self.clients[0], self.database)
        self._writing = asyncio.get_running_loop().create_task(self._writer.run())
        await eventually(self._opened, 30, "the ledger is opened, so that it takes nothing for older than itself")

    async def close(self) -> None:
        await self._writer.close()
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        for client in self.clients:
            await maybe_await(client.close())

    async def _opened(self) -> bool:
        lease = await self.clients[0][self.database]["leases"].find_one({"_id": "ledger"})
        return bool(lease and lease.get("initialised"))

    async def play(self, rules: model.Rules, script: list[steps.Step]) -> None:
        """Apply each step to the board and to the model, which must agree; the board is empty before and after."""
        checker = ModelChecker(self, rules, prefix=f"{next(self._numbers)}.")
        try:
            for step in script:
                await checker.apply(step)
                await checker.compare()
            await checker.compare_ledger()
        finally:
            await checker.close()


class ModelChecker:
    """One board. `prefix` makes its players' ids, so that no ledger entry of another board is theirs."""

    def __init__(self, service: Service, rules: model.Rules, prefix: str) -> None:
        self.service, self.model, self._prefix = service, Model(rules), prefix
        self.now, self.skews = START, [0, 0]
        limits = WritePolicy(RateLimit(rules.updates, rules.window / 1000), rules.retention // 1000, rules.cap)
        board = board_of(rules)
        self.stores = [
            MongoStore(
                client, service.database, board=board, policy=limits, timeout=30, clock=lambda n=n: self.clock(n)
            )
            for n, client in enumerate(service.clients)
        ]  # fmt: skip
        self.moderation = MongoModeration(
            service.clients[1], service.database, service.ledger, board=board, timeout=30, clock=lambda: self.now
        )
        self._seen: set[str] = set()

    def clock(self, store: int) -> int:
        return self.now + self.skews[store]

    async def close(self) -> None:
        """Leave no player behind, by the service's own means."""
        for store in self.stores:
            await store.close()
        for user in "abc":
            await outcome(self.moderation.erase(self._case(user)))

    async def apply(self, step: steps.Step) -> None:
        if isinstance(step, steps.Tick):
            self.now += step.ms
        elif isinstance(step, steps.Skew):
            self.skews[step.store] = step.ms
        elif isinstance(step, steps.Together):
            await self._together(step.parts)
        else:
            await self._alone(step)

    async def _alone(self, step: steps.Step) -> None:
        if isinstance(step, steps.Submit):
            await self._submit(step)
        elif isinstance(step, steps.Register):
            now = self.clock(step.store)
            change = ProfileChange() if step.name is None else ProfileChange(step.name)
            found = await outcome(self.stores[step.store].register(self._prefix + step.user, change))
            expected = self.model.register(step.user, step.name, now)
            if isinstance(found, LeaderboardError):
                assert type(found).__name__ == expected
            else:
                assert found.created == expected
                score = found.player.score if found.scored else None
                assert (score, found.player.username) == self._shown(step.user)
        elif isinstance(step, steps.Moderate):
            found = await outcome(getattr(self.moderation, step.verb)(self._case(step.user)))
            assert state(found) == self.model.moderate(step.verb, step.user, self.now)
        elif isinstance(step, steps.TakeBack):
            since = None if step.back is None else self.now - step.back
            case = self._case(step.user)
            found = await outcome(self.moderation.take_back(case, action_id=step.action_id, since=since))
            assert state(found) == self.model.take_back(step.user, step.action_id, since, self.now)
        elif isinstance(step, steps.Erase):
            found = await outcome(self.moderation.erase(self._case(step.user)))
            assert state(found) == self.model.erase(step.user)

    async def _submit(self, step: steps.Submit) -> None:
        now, user = self.clock(step.store), step.wanted.user
        found = await outcome(self.stores[step.store].apply(self._action(step.wanted)))
        assert answer(found) == self.model.submit(step.wanted, now)
        if not (isinstance(found, LeaderboardError) and user not in self.model.players):
            rate_limit_state = found.rate_limit_state
            assert RateLimitState(
                rate_limit_state.remaining, round(rate_limit_state.reset * 1000)
            ) == self.model.rate_limit_state(user, now)

    # -- many at once -----------------------------------------------------------------------------------

    async def _together(self, parts: tuple[steps.Submit | steps.Moderate, ...]) -> None:
        """The concurrent results must equal those of a sequential run in the order of the ledger."""
        self.skews = [0, 0]  # or the order alone would not determine the results
        before = {user: await self._entries(user) for user in self.model.players}
        found = await asyncio.gather(*(self._part(n, part) for n, part in enumerate(parts)))
        for user in {part.wanted.user if isinstance(part, steps.Submit) else part.user for part in parts}:
            entries = (await self._entries(user))[len(before.get(user, ())) :]
            ours = {n: part for n, part in enumerate(parts) if _user(part) == user}
            self._linear(user, entries, ours, found)

    async def _part(self, n: int, part: steps.Submit | steps.Moderate) -> Any:
        if isinstance(part, steps.Submit):
            return await outcome(self.stores[part.store].apply(self._action(part.wanted, frontend=str(n))))
        return await outcome(getattr(self.moderation, part.verb)(self._case(part.user, by=str(n))))

    def _linear(
        self, user: str, entries: list[Entry], parts: dict[int, steps.Submit | steps.Moderate], found: list[Any]
    ) -> None:
        """Each change equals the model's at its position; each other result equals the model's at some position."""
        moments = [copy.deepcopy(self.model.players.get(user))]
        changed = set()
        for entry in entries:
            n = int(entry.frontend if entry.kind is EntryKind.ACTION else entry.by)
            changed.add(n)
            assert result_of(found[n]) == self._step(parts[n]), f"part {n} at place {len(moments)}"
            moments.append(copy.deepcopy(self.model.players.get(user)))
        for n in parts.keys() - changed:
            possible = [self._unchanging(moment, parts[n]) for moment in moments]
            assert result_of(found[n]) in possible, f"part {n}"

    def _step(self, part: steps.Submit | steps.Moderate) -> Answer | State | str:
        if isinstance(part, steps.Submit):
            return self.model.submit(part.wanted, self.now)
        return self.model.moderate(part.verb, part.user, self.now)

    def _unchanging(self, moment: Player | None, part: steps.Submit | steps.Moderate) -> Answer | State | str | None:
        """The model's result at a moment; None if it would change something."""
        there = Model(self.model.rules)
        if moment is not None:
            there.players[_user(part)] = copy.deepcopy(moment)
        if isinstance(part, steps.Submit):
            result = there.answer(part.wanted, self.now)
            return result if result.refused or result.replayed else None
        state = there.moderate(part.verb, part.user, self.now)
        return None if isinstance(state, State) and state.changed else state

    # -- comparing --------------------------------------------------------------------------------------

    async def compare(self) -> None:
        """The board, and each player on it."""
        top = await self.stores[0].top()
        found = [(s.rank, s.player.user_id.removeprefix(self._prefix), s.player.score) for s in top.standings]
        assert found == self.model.board()
        assert {s.player.user_id.removeprefix(self._prefix): s.player.username for s in top.standings} == {
            user: self._shown(user)[1] for _, user, _ in found
        }
        assert {s.player.user_id.removeprefix(self._prefix): s.player.metadata for s in top.standings} == {
            user: self.model.players[user].metadata for _, user, _ in found
        }

    async def compare_ledger(self) -> None:
        """The ledger's sum is the score, each counted action has one entry, and erased players have none."""
        for user in "abc":
            player, entries = self.model.players.get(user), await self._entries(user)
            done = [] if player is None else player.done
            assert [e.n for e in entries] == list(range(1, len(entries) + 1))
            assert sum(e.points for e in entries) == (0 if player is None else player.points)
            counted = [(e.id, e.at) for e in entries if e.kind is EntryKind.ACTION]
            assert counted == [(one.id, one.at) for one in done]
            assert not any(e.kind in (EntryKind.EXTERNAL, EntryKind.RECONCILED) for e in entries)
            document = await self.service.documents.find_one({"_id": self._prefix + user})
            assert (document is None) == (player is None)

    async def _entries(self, user: str) -> list[Entry]:
        """The player's ledger, oldest first, once it holds the last write."""
        ledger, player = self.service.ledger, self._prefix + user
        document = await self.service.documents.find_one({"_id": player}, BALANCE_FIELDS)
        if document is None:
            await eventually(lambda: self._gone(player), 30, f"the ledger forgets {player}")
            return []
        last = last_entry(document)
        assert last is not None
        write_id = last.write_id
        await eventually(lambda: ledger.has(write_id), 30, f"the ledger holds {write_id}")
        return (await ledger.history(player, 10_000, None, board="main"))[::-1]

    async def _gone(self, player: str) -> bool:
        return not await self.service.ledger.knows(player, board="main")

    def _shown(self, user: str) -> tuple[int | None, str]:
        player = self.model.players[user]
        name = player.own or player.name
        return player.score, self._prefix + user if name == user else name

    def _case(self, user: str, by: str = "mod") -> ModerationRequest:
        return ModerationRequest(self._prefix + user, by, "why")

    def _action(self, wanted: Wanted, frontend: str = "") -> Action:
        user, profile = self._prefix + wanted.user, Profile(wanted.name)
        value = self.model.rules.submitted(wanted.points)
        return Action(
            user,
            value,
            wanted.id,
            wanted.request,
            profile,
            wanted.create,
            frontend=frontend,
            metadata=wanted.metadata,
        )


def _user(part: steps.Submit | steps.Moderate) -> str:
    return part.wanted.user if isinstance(part, steps.Submit) else part.user
