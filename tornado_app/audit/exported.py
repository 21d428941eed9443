"""Checks the chains in a file that `leaderboard export ledger` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from tornado_app.audit.auditor import Counts
from tornado_app.audit.checks import Chain, Finding, Kind
from tornado_app.core.boards import MAIN
from tornado_app.core.ledger import ERASURES
from tornado_app.mongo.ledger.reader import from_plain


def audit_lines(lines: Iterable[str], on_finding: Callable[[Finding], None], *, since: int) -> Counts:
    """Check lines of JSON, sorted by board, player and number.

    A chain may end early; it must begin as the ledger's did.
    """
    counts, chain = Counts(), Chain(ERASURES, since=since)

    def close() -> None:
        counts.folded += chain.folded
        counts.erasures += chain.length if chain.player == ERASURES else 0
        counts.players += chain.player != ERASURES
        for finding in chain.own_findings():
            on_finding(finding)

    for number, line in enumerate(lines, start=1):
        try:
            entry = from_plain(json.loads(line))
        except (ValueError, TypeError, KeyError):
            on_finding(Finding(Kind.CHANGED, "", f"line {number} is not a ledger entry"))
            continue
        if entry.chain != (chain.board, chain.player):
            if _place(*entry.chain) < _place(chain.board, chain.player):
                text = f"line {number} is not in the order of the boards and players"
                on_finding(Finding(Kind.CHANGED, entry.player, text, entry.n, entry.board))
            close()
            chain = Chain(entry.player, board=entry.board, since=since)
        chain.add(entry, entry.n)
        counts.entries += entry.player != ERASURES
    close()
    return counts


def _place(board: str, player: str) -> tuple[bool, str, str]:
    return board != MAIN.name, board, player
