"""How many connections a process takes: as many as it has file descriptors for, less a reserve that no client can take.

Without a bound of its own, a process whose descriptors are used up cannot accept, and cannot stop trying.
"""

from __future__ import annotations

import logging
import resource
import time

from tornado.iostream import IOStream

log = logging.getLogger("leaderboard.http")

RESERVED_FDS = 128
"""Descriptors for the database, the metrics port, files and logs."""

MAX_OPEN_FILES = 1 << 20
PURGE_INTERVAL = 256
"""Connections accepted between two looks at which of them have ended."""

LOG_INTERVAL = 60.0


def max_open_files() -> int:
    """How many file descriptors this process may have, after asking for as many as it may ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning("the limit of open files stays at %d: %s", soft, error)
            return soft
    return wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)


class ConnectionLimiter:
    """Counts open connections; `most` None is what the descriptors allow."""

    def __init__(self, most: int | None = None) -> None:
        self._most = max(16, max_open_files() - RESERVED_FDS) if most is None else most
        self._streams: set[IOStream] = set()
        self._accepted = 0
        self._logged_at = -LOG_INTERVAL

    def try_acquire(self, stream: IOStream) -> bool:
        """Whether there is room for one more."""
        self._accepted += 1
        if self._accepted % PURGE_INTERVAL == 0 or len(self._streams) >= self._most:
            self._streams = {each for each in self._streams if not each.closed()}
        if len(self._streams) >= self._most:
            self._log_refusal()
            return False
        self._streams.add(stream)
        return True

    def _log_refusal(self) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            log.error("no room for more connections", extra={"open": len(self._streams)})
