"""Selects the entries of an export, and counts them. Pure, in bounded memory."""

from __future__ import annotations

import msgspec

from tornado_app.audit.auditor import Counts
from tornado_app.core.ledger import ERASURES, ChainKey, Entry


class _Chain(msgspec.Struct):
    """What was read of one chain. `n`: the number of the last entry; `gap`: whether one before it is missing; `torn`:
    whether one was before a checkpoint; `begun`, `over`: whether the times were reached; the others: numbers of
    entries."""

    key: ChainKey
    n: int = 0
    gap: bool = False
    torn: bool = False
    begun: bool = False
    over: bool = False
    read: int = 0
    written: int = 0
    folded: int = 0


class Selection:
    """The entries of an export: of each chain those from the first one at `since` on, until the first one at `before`.

    Both are in milliseconds. The times of a chain are from several clocks and do not always grow, so this cuts no chain
    in its middle, and two exports of adjoining times contain each entry once.

    `read`: all players and entries, erasures too. `written`: as an audit of the export counts them. `folded`: entries
    that checkpoints not older than `since` replace, and that were not read. `torn`: chains that were folded while they
    were read, so that some of their entries are missing. `malformed`: entries.
    """

    def __init__(self, since: int, before: int) -> None:
        self._since = since
        self._before = before
        self._chain: _Chain | None = None
        self.read = Counts()
        self.written = Counts()
        self.folded = 0
        self.torn = 0
        self.malformed = 0

    def add(self, key: ChainKey, entry: Entry | None) -> Entry | None:
        """The next stored entry of a chain, if it is exported; None is a malformed one."""
        chain = self._chain
        if chain is None or key != chain.key:
            chain = self._chain = _Chain(key)
            self.read.players += 1
        self.read.entries += 1
        if entry is None:
            self.malformed += 1
            return None
        self._follow(chain, entry)
        chain.begun = chain.begun or entry.at >= self._since
        chain.over = chain.over or entry.at >= self._before
        if not chain.begun or chain.over:
            return None
        chain.written += 1
        if key[1] == ERASURES:
            self.written.erasures += 1
        else:
            self.written.players += chain.written == 1
            self.written.entries += 1
        return entry

    def _follow(self, chain: _Chain, entry: Entry) -> None:
        """Count what a checkpoint replaces. A gap before it is of entries that were removed before they were read."""
        chain.gap = chain.gap or (entry.n != chain.n + 1 and (chain.n > 0 or not entry.checkpoint))
        if entry.checkpoint:
            self.torn += chain.gap and not chain.torn
            chain.torn, chain.gap = chain.torn or chain.gap, False
            if entry.at >= self._since:
                missing = entry.n - 1 - chain.read
                self.folded += missing - chain.folded
                chain.folded = missing
        chain.n = entry.n
        chain.read += 1
