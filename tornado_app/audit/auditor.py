"""Reads all players and the whole ledger side by side, in the order of the players, while the service runs.

Nothing is stopped, and there is no snapshot: a page of players is read first and their entries after it, so each score
must be in the ledger at that player's last write or after it. Players who differ are read again until they agree or the
ledger has had the time to catch up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from tornado_app.audit.checks import Anomalies, Chain, Finding, Kind
from tornado_app.audit.results import ResultDoubt, ResultRows
from tornado_app.core.abuse import Suspect
from tornado_app.core.boards import MAIN, Board
from tornado_app.core.ledger import ERASURES, Entry, PlayerBalance
from tornado_app.core.model import rfc3339
from tornado_app.core.periods import FinalResult
from tornado_app.core.policies import RateLimit
from tornado_app.core.slots import EpochKey

Line = tuple[str, Any, Entry | None]
"""A stored entry: its player, its number, and the entry; None if the document is not an entry."""


PAUSE = 0.1

MAX_RECHECKS = 5
"""How often a player who differs is read again: an erasure may happen between any two reads."""

TOGETHER = 1000
"""Maximum number of players that are read again together."""


class Source(Protocol):
    """The database as an audit reads it, a board's players and entries in the same order."""

    async def accounts(self, board: str, after: str) -> Sequence[PlayerBalance]:
        """A page of players, from the one after `after` on; empty at the end."""

    def lines(self, board: str, after: str, last: str | None) -> AsyncIterator[Line]:
        """The entries of the players after `after` up to `last`; None is no bound."""

    def lines_of(self, board: str, player: str) -> AsyncIterator[Line]:
        """The entries of one player."""

    async def account(self, board: str, player: str) -> PlayerBalance | None:
        """One player, or None."""

    async def moment(self) -> int:
        """The database's time now, as a version."""

    async def watermark(self) -> int:
        """The version up to which everything is recorded; −1 if nothing ever was."""

    def suspects(self, since: int) -> AsyncIterator[Suspect]:
        """Players who broke an abuse rule at or after `since` (ms)."""

    async def unknown_documents(self) -> Sequence[str]:
        """The documents in the collections that cannot be a player's, in words."""


class ResultSource(Protocol):
    """The results of epochs as an audit reads them."""

    async def sealed(self, board: str) -> Mapping[EpochKey, FinalResult]:
        """The epochs of a board whose results are final and kept."""

    async def rows(
        self, board: str, epochs: Collection[EpochKey], after: str, last: str | None
    ) -> Mapping[str, Mapping[EpochKey, int]]:
        """The scores in the results of these epochs, by player: those after `after` up to `last`; None is no bound."""

    async def has_row(self, board: str, epoch: EpochKey, player: str) -> bool:
        """Whether a player has a row in a result."""

    async def digest(self, board: str, epoch: EpochKey) -> tuple[int, str]:
        """The number of rows of a result, and the SHA-256 over them."""


class PlayerAudit:
    """The checks of one player's entries."""

    __slots__ = ("anomalies", "chain", "results")

    def __init__(self, chain: Chain, anomalies: Anomalies, results: ResultRows) -> None:
        self.chain = chain
        self.anomalies = anomalies
        self.results = results

    def add(self, entry: Entry | None, n: Any) -> None:
        """Add the next entry; None for a document that is not an entry, with its number."""
        self.chain.add(entry, n)
        if entry is not None:
            self.anomalies.add(entry)
            self.results.add(entry)


class Counts(msgspec.Struct):
    """Numbers of players and entries read, of entries that are folded into others, and of results of epochs compared.
    `rechecking`: players that differ so far and are read again."""

    players: int = 0
    entries: int = 0
    folded: int = 0
    erasures: int = 0
    results: int = 0
    rechecking: int = 0


class Auditor:
    """One audit of these boards; `definition` reads the rule of one.

    `on_finding` receives each finding, `progress` the counts so far.

    `recheck_seconds`: how long players who differ are read again, because a healthy ledger has a write within that
    time. `ledger_timeout`: how long the ledger may make no progress before a missing write is a difference.
    """

    def __init__(
        self,
        source: Source,
        results: ResultSource,
        on_finding: Callable[[Finding], None],
        boards: Sequence[str],
        definition: Callable[[str], Awaitable[Board]],
        *,
        limit: RateLimit,
        recheck_seconds: float,
        ledger_timeout: float,
        since: int = 0,
        progress: Callable[[Counts], None] = lambda counts: None,
    ) -> None:
        self._source = source
        self._results = results
        self._on_finding = on_finding
        self._boards = boards
        self._definition = definition
        self._limit = limit
        self._since = since
        self._progress = progress
        self._recheck = Recheck(
            source, self._open, self._report, self._rechecking, seconds=recheck_seconds, ledger_timeout=ledger_timeout
        )
        self._board = MAIN
        self._sealed: Mapping[EpochKey, FinalResult] = {}
        self._rows: dict[str, Mapping[EpochKey, int]] = {}
        self._doubts: list[ResultDoubt] = []
        self.counts = Counts()

    async def run(self) -> Counts:
        """Read everything once; the counts."""
        for board in self._boards:
            await self._erasures(board)
            self._board = await self._definition(board)
            self._sealed = await self._results.sealed(board)
            self.counts.results += len(self._sealed)
            await self._digests(board)
            after: str | None = ERASURES
            while after is not None:
                after = await self._page(board, after)
        async for one in self._source.suspects(self._since):
            text = f"broke the rule {one.rule}, {one.times} times in all, last at {rfc3339(one.last)}"
            self._on_finding(Finding(Kind.RULE, one.player, text))
        for text in await self._source.unknown_documents():
            self._on_finding(Finding(Kind.UNKNOWN_DOCUMENT, "", text))
        return self.counts

    async def _erasures(self, board: str) -> None:
        """The chain of erasures; it has no player, and its sum is 0."""
        chain = Chain(ERASURES, board=board, since=self._since)
        async for _, n, entry in self._source.lines_of(board, ERASURES):
            chain.add(entry, n)
        self.counts.erasures += chain.length
        for finding in chain.findings():
            self._on_finding(finding)

    async def _page(self, board: str, after: str) -> str | None:
        """Check one page of players with their entries; the last of them, None at the end."""
        accounts = await self._source.accounts(board, after)
        last = accounts[-1].player if accounts else None
        waiting = {account.player: account for account in accounts}
        self._rows = dict(await self._results.rows(board, self._sealed, after, last))
        doubtful: list[str] = []
        async for past in self._pasts(board, after, last, waiting):
            if past.chain.right:
                self._report(past)
            else:
                doubtful.append(past.chain.player)
        self.counts.players += len(accounts)
        self._progress(self.counts)
        await self._recheck.run(board, [*doubtful, *waiting])
        for player in list(self._rows):  # without entries
            self._compare(ResultRows(player, self._board, self._sealed))
        await self._confirm(board)
        return last

    async def _digests(self, board: str) -> None:
        """Compare each result with its digest, which an erasure changes, and then removes for some seconds."""
        for epoch, final in self._sealed.items():
            known: FinalResult | None = final
            while known is not None and known.epoch.sha256 is not None:
                if await self._results.digest(board, epoch) == (known.epoch.rows, known.epoch.sha256):
                    break
                before, known = known, (await self._results.sealed(board)).get(epoch)
                if known == before:
                    text = f"the result of {epoch[0]} {epoch[1]} is not the one that was sealed: its SHA-256 differs"
                    self._on_finding(Finding(Kind.RESULT, "", text, board=board))
                    break

    def _compare(self, results: ResultRows) -> None:
        self._doubts += results.doubts(self._rows.pop(results.player, {}))

    async def _confirm(self, board: str) -> None:
        """Report what differs in results, unless the player was erased or the result dropped since it was read."""
        doubts, self._doubts = self._doubts, []
        sealed = await self._results.sealed(board) if doubts else {}
        for doubt in doubts:
            player = doubt.finding.player
            account = await self._source.account(board, player)
            if doubt.epoch not in sealed or (account is not None and account.erased):
                continue
            if await self._results.has_row(board, doubt.epoch, player) if doubt.has_row else account is not None:
                self._on_finding(doubt.finding)

    async def _pasts(
        self, board: str, after: str, last: str | None, waiting: dict[str, PlayerBalance]
    ) -> AsyncIterator[PlayerAudit]:
        """Every chain of the range, read to its end; removes its account from `waiting`."""
        past: PlayerAudit | None = None
        async for player, n, entry in self._source.lines(board, after, last):
            if past is None or past.chain.player != player:
                if past is not None:
                    yield past
                past = self._open(board, player, waiting.pop(player, None))
            past.add(entry, n)
            self.counts.entries += 1
            if self.counts.entries % 1000 == 0:
                self._progress(self.counts)
        if past is not None:
            yield past

    def _open(self, board: str, player: str, account: PlayerBalance | None) -> PlayerAudit:
        chain = Chain(player, account, board=board, since=self._since)
        hidden = account is not None and account.hidden
        anomalies = Anomalies(player, self._limit, board=board, since=self._since)
        return PlayerAudit(chain, anomalies, ResultRows(player, self._board, self._sealed, hidden=hidden))

    def _rechecking(self, players: int) -> None:
        self.counts.rechecking = players
        self._progress(self.counts)

    def _report(self, past: PlayerAudit) -> None:
        self.counts.folded += past.chain.folded
        self._compare(past.results)
        for finding in (*past.chain.findings(), *past.anomalies.findings()):
            self._on_finding(finding)


class Recheck:
    """Reads players who differ again, until they agree or there is nothing left to wait for.

    `open_player` creates a player's checks, `report` receives each complete one, `progress` the number of players left.
    """

    def __init__(
        self,
        source: Source,
        open_player: Callable[[str, str, PlayerBalance | None], PlayerAudit],
        report: Callable[[PlayerAudit], None],
        progress: Callable[[int], None],
        *,
        seconds: float,
        ledger_timeout: float,
    ) -> None:
        self._source = source
        self._open_player = open_player
        self._report = report
        self._progress = progress
        self._seconds = seconds
        self._patience = ledger_timeout

    async def run(self, board: str, players: Sequence[str]) -> None:
        """Recheck players of a board, and report each of them."""
        loop = asyncio.get_running_loop()
        until = loop.time() + min(self._seconds, self._patience)
        while players and loop.time() < until:
            self._progress(len(players))
            players = [player for player in players if not await self._right(board, player)]
            if players:
                await asyncio.sleep(PAUSE)
        for start in range(0, len(players), TOGETHER):
            left: Sequence[str] = players[start : start + TOGETHER]
            later = len(players) - start - len(left)
            for looks_left in reversed(range(MAX_RECHECKS)):
                self._progress(len(left) + later)
                left = await self._recheck_once(board, left, last=not looks_left)
        self._progress(0)

    async def _right(self, board: str, player: str) -> bool:
        past = await self._read(board, player, await self._source.account(board, player))
        if past.chain.right:
            self._report(past)
        return past.chain.right

    async def _recheck_once(self, board: str, players: Sequence[str], *, last: bool) -> list[str]:
        """Recheck once the ledger contains everything from before the players were read; the players who still differ.

        A player who continues to play is compared as of the first read, unless an erasure has removed those entries
        since; so there is more than one recheck. The `last` one is reported in any case.
        """
        if not players:
            return []
        accounts = [await self._source.account(board, player) for player in players]
        await self._caught_up(await self._source.moment())
        left = []
        for player, account in zip(players, accounts, strict=True):
            if await self._right(board, player):
                continue
            past = await self._read(board, player, account)
            if past.chain.right or last:
                self._report(past)
            else:
                left.append(player)
        return left

    async def _caught_up(self, moment: int) -> None:
        """Wait until everything up to a moment is recorded. A ledger without progress is not waited for again."""
        loop = asyncio.get_running_loop()
        watermark, since = await self._source.watermark(), loop.time()
        while self._patience and watermark < moment:
            await asyncio.sleep(PAUSE)
            before, watermark = watermark, await self._source.watermark()
            if watermark > before:
                since = loop.time()
            elif loop.time() - since > self._patience:
                self._patience = 0.0

    async def _read(self, board: str, player: str, account: PlayerBalance | None) -> PlayerAudit:
        past = self._open_player(board, player, account)
        async for _, n, entry in self._source.lines_of(board, player):
            past.add(entry, n)
        return past
