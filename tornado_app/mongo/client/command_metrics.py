"""How long the database takes for each command, told by the driver: PyMongo Async and Motor alike."""

from __future__ import annotations

from collections.abc import Callable

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

Observe = Callable[[str, float | None], None]
"""Told of each command by name: its seconds, None where it failed."""

WAITING = frozenset({"getMore"})
"""Commands whose time says nothing: the server holds the answer back until there is something to tell."""


class CommandMetrics(CommandListener):
    """Hands the driver's events on. Motor calls it in threads of its own."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing to tell yet."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """It was answered."""
        if event.command_name not in WAITING:
            self._observe(event.command_name, event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent) -> None:
        """It was refused, or not answered."""
        self._observe(event.command_name, None)
