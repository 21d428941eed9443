"""`leaderboard` that tells on SIGUSR1, in a line of its log, what only a search for cyclic garbage frees."""

import gc
import signal
import sys

from tornado_app.__main__ import main
from tornado_app.http import server

OURS = "tornado"
"""What the names of Tornado's modules and of ours begin with."""


def _tell(*_: object) -> None:
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    types = {f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage}
    gc.set_debug(0)
    gc.garbage.clear()
    gc.collect()
    sys.stdout.write(" ".join(["garbage:", *sorted(name for name in types if name.startswith(OURS))]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    gc.disable()
    server.PURGE_INTERVAL = 1  # else it holds the last connections, and what they hold is no garbage yet
    signal.signal(signal.SIGUSR1, _tell)
    sys.exit(main())
