"""`Board-Version` on answers, and reads that wait for one: a client reads its own write, and never goes back in time.

The number is `TopPlayers.version`: it grows with the database's time, and means the same in every process.
"""

from __future__ import annotations

import re

from tornado_app.core.scoreboard import BoardView
from tornado_app.http import refusal_log
from tornado_app.http.errors import BadRequest
from tornado_app.http.messages import Request

HEADER = "Board-Version"
CONDITION = "If-Board-Version"

PATIENCE = 0.25
"""Seconds that a read waits at most."""

_NUMBER = re.compile("[0-9]{1,16}", re.ASCII)


class Shown:
    """How far an answer must be, and whether the board has come that far. `wanted` None: any state will do."""

    __slots__ = ("reached", "wanted")

    def __init__(self, wanted: int | None, *, reached: bool) -> None:
        self.wanted = wanted
        self.reached = reached

    def header(self, version: int) -> tuple[str, str]:
        """The header of an answer that shows nothing later than `version`; below what was wanted if that is not shown.

        It is never too low: an answer with a lower version than the one before would be taken for an older one.
        """
        if self.wanted is not None:
            version = max(version, self.wanted) if self.reached else min(version, self.wanted - 1)
        return (HEADER, str(version))


ANY = Shown(None, reached=True)


def wanted(request: Request) -> int | None:
    """The version of `If-Board-Version`, None without that header. Raises BadRequest for anything but a number."""
    text = request.headers.get(CONDITION)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        message = f"{CONDITION}: pass on the value of {HEADER} as it is."
        raise BadRequest(message, reason="board_version", detail=f"{CONDITION} is {refusal_log.clip(text)}")
    return int(text)


async def wait(request: Request, board: BoardView) -> Shown:
    """Wait until the board can show what the request wants, at most PATIENCE. Raises BadRequest."""
    version = wanted(request)
    if version is None:
        return ANY
    return Shown(version, reached=await board.wait_until_shown(version, PATIENCE))
