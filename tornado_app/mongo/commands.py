"""How long the database took for our commands, as the driver tells it."""

from __future__ import annotations

from collections.abc import Callable

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

COMMANDS = ("aggregate", "delete", "find", "findAndModify", "getMore", "insert", "ping", "update")
"""What the service sends while it runs; all else is `OTHER`: what it asks and sets up once, at start."""

OTHER = "other"


class CommandTimes(CommandListener):
    """Hands each command's seconds to what `observer` gives for its name: one of COMMANDS, or OTHER.

    A command that failed counts too: it has kept somebody waiting. Motor calls from its own threads.
    """

    def __init__(self, observer: Callable[[str], Callable[[float], None]]) -> None:
        self._observers = {name: observer(name) for name in COMMANDS}
        self._other = observer(OTHER)

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing is known yet."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """The database has answered."""
        self._observe(event)

    def failed(self, event: CommandFailedEvent) -> None:
        """It has refused, or has not answered."""
        self._observe(event)

    def _observe(self, event: CommandSucceededEvent | CommandFailedEvent) -> None:
        self._observers.get(event.command_name, self._other)(event.duration_micros / 1e6)
