"""Durations of database commands, from the driver's listener: for PyMongo Async and Motor alike."""

from __future__ import annotations

from collections.abc import Callable

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

Observe = Callable[[str, float | None], None]
"""Called with the name of each command and its seconds, None if it failed."""

WAITING = frozenset({"getMore"})
"""Commands without a meaningful duration: the server holds the answer back until there is an event."""


class CommandMetrics(CommandListener):
    """Forwards the driver's events. Motor calls it in its own threads."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing to tell yet."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name not in WAITING:
            self._observe(event.command_name, event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent) -> None:
        self._observe(event.command_name, None)
