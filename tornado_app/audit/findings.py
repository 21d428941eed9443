"""What an audit finds: differences, which must not be, and irregularities, which somebody may want to look at."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What is found. Those of the first group are differences."""

    SCORE = "score"
    NOT_RECORDED = "not_recorded"
    NO_PLAYER = "no_player"
    NOT_OURS = "not_ours"
    MISSING = "missing_entry"
    CHANGED = "changed_entry"
    UNCHAINED = "unchained_entry"
    SUM = "wrong_sum"
    EXTERNAL = "external"
    RECONCILED = "reconciled"

    BURST = "burst"
    SUSTAINED = "sustained"
    JUMP = "jump"
    RULE = "rule"
    UNFINISHED = "unfinished_erasure"

    @property
    def difference(self) -> bool:
        """Whether the ledger and the players don't agree, or a chain is not whole."""
        return self not in _IRREGULARITIES


_IRREGULARITIES = frozenset({Kind.BURST, Kind.SUSTAINED, Kind.JUMP, Kind.RULE, Kind.UNFINISHED})


class Finding(msgspec.Struct, frozen=True):
    """One thing that an audit has to say. `n`: the entry's number within its player, where it is about one."""

    kind: Kind
    player: str
    text: str
    n: int | None = None
