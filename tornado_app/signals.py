"""How a command is told to stop."""

from __future__ import annotations

import asyncio
import signal

ASKING = (signal.SIGTERM, signal.SIGINT)


def on_signals(stop: asyncio.Event) -> None:
    """The first SIGTERM or Ctrl-C asks to stop, the second insists."""
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if stop.is_set():
            for number in ASKING:
                loop.remove_signal_handler(number)
            raise KeyboardInterrupt
        stop.set()

    for number in ASKING:
        loop.add_signal_handler(number, ask)
