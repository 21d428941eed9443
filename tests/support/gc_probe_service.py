"""`leaderboard` that prints the types of its cyclic garbage on SIGUSR1."""

import gc
import signal
import sys

from tornado_app.__main__ import main
from tornado_app.http import server

PREFIX = "tornado"
"""The prefix of the modules of Tornado and of the service."""


def _report(*_: object) -> None:
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    types = {f"{type(item).__module__}.{type(item).__qualname__}" for item in gc.garbage}
    gc.set_debug(0)
    gc.garbage.clear()
    gc.collect()
    sys.stdout.write(" ".join(["garbage:", *sorted(name for name in types if name.startswith(PREFIX))]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    gc.disable()
    server.PURGE_INTERVAL = 1  # or the limiter keeps the last connections alive, which are no garbage then
    signal.signal(signal.SIGUSR1, _report)
    sys.exit(main())
