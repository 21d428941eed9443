"""How many connections a process takes: as many as it has file descriptors for, less a reserve that no client can take.

Without a bound of its own, a process whose descriptors are used up cannot accept, and cannot stop trying.
"""

from __future__ import annotations

import logging
import resource
import time

from tornado.iostream import IOStream

log = logging.getLogger("leaderboard.http")

RESERVE = 128
"""Descriptors for the database, the metrics port, files and logs."""

MOST_DESCRIPTORS = 1 << 20
SWEEP = 256
"""Connections accepted between two looks at which of them have ended."""

COMPLAIN_EVERY = 60.0


def descriptors() -> int:
    """How many file descriptors this process may have, after asking for as many as it may ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning("the limit of open files stays at %d: %s", soft, error)
            return soft
    return wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)


class Room:
    """Counts open connections; `most` None is what the descriptors allow."""

    def __init__(self, most: int | None = None) -> None:
        self._most = max(16, descriptors() - RESERVE) if most is None else most
        self._streams: set[IOStream] = set()
        self._accepted = 0
        self._complained = -COMPLAIN_EVERY

    def admit(self, stream: IOStream) -> bool:
        """Whether there is room for one more."""
        self._accepted += 1
        if self._accepted % SWEEP == 0 or len(self._streams) >= self._most:
            self._streams = {each for each in self._streams if not each.closed()}
        if len(self._streams) >= self._most:
            self._complain()
            return False
        self._streams.add(stream)
        return True

    def _complain(self) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAIN_EVERY:
            self._complained = now
            log.error("no room for more connections", extra={"open": len(self._streams)})
