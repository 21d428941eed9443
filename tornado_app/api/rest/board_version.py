"""`Board-Version` and `If-Board-Version`: a client reads its own writes, and never an older board than before.

The number is that of `TopPlayers.version` (core/versions.py): it grows with the database's time, and is the same in
every process.
"""

from __future__ import annotations

import re

from tornado_app.core.scoreboard import BoardView
from tornado_app.core.versions import from_board_version, to_board_version
from tornado_app.http import request_log
from tornado_app.http.errors import BadRequest
from tornado_app.http.messages import Request

HEADER = "Board-Version"
CONDITION = "If-Board-Version"

PATIENCE = 0.25
"""Maximum seconds for which a read waits."""

_NUMBER = re.compile("[0-9]{1,16}", re.ASCII)


class Shown:
    """The board version that a read asked for, None for any, and whether the board has reached it."""

    __slots__ = ("reached", "wanted")

    def __init__(self, wanted: int | None, *, reached: bool) -> None:
        self.wanted = wanted
        self.reached = reached

    def header(self, version: int) -> tuple[str, str]:
        """The header of a response that shows the board up to `version`.

        The value is below `wanted` only if the response does not show that version. It must not be lower than
        necessary, as a client takes a response with a lower version for an older one.
        """
        number = to_board_version(version)
        if self.wanted is not None:
            number = max(number, self.wanted) if self.reached else min(number, self.wanted - 1)
        return (HEADER, str(number))


ANY = Shown(None, reached=True)


def wanted(request: Request) -> int | None:
    """The value of `If-Board-Version`, None without it. Raises BadRequest if it is not a number."""
    text = request.headers.get(CONDITION)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        message = f"{CONDITION}: send the value of {HEADER} unchanged."
        raise BadRequest(message, reason="board_version", detail=f"{CONDITION} is {request_log.clip(text)}")
    return int(text)


async def wait(request: Request, board: BoardView) -> Shown:
    """Wait, at most PATIENCE, until the board has reached the version that the request asks for. Raises BadRequest."""
    number = wanted(request)
    if number is None:
        return ANY
    return Shown(number, reached=await board.wait_until_shown(from_board_version(number), PATIENCE))
