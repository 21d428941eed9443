"""Limits the connections of a process to its file descriptors, less a reserve that clients cannot use.

Without this limit, a process whose descriptors are used up cannot accept connections, and retries in a busy loop.
"""

from __future__ import annotations

import logging
import resource
import time

from tornado.iostream import IOStream

log = logging.getLogger("leaderboard.http")

RESERVED_FDS = 128
"""File descriptors for the database, the metrics port, files and logs."""

MAX_OPEN_FILES = 1 << 20
PURGE_INTERVAL = 256
"""Closed connections are purged after this many new ones."""

LOG_INTERVAL = 60.0
"""Minimum seconds between two log lines."""


def max_open_files() -> int:
    """The limit of open files of this process, after raising it as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning("cannot raise the limit of open files, keeping %d: %s", soft, error)
            return soft
    return wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)


class ConnectionLimiter:
    """Counts open connections. `maximum`: by default what the limit of open files allows."""

    def __init__(self, maximum: int | None = None) -> None:
        self._maximum = max(16, max_open_files() - RESERVED_FDS) if maximum is None else maximum
        self._streams: set[IOStream] = set()
        self._accepted = 0
        self._logged_at = -LOG_INTERVAL

    def has_capacity(self) -> bool:
        """Whether one more connection may be served; a refusal is logged."""
        self._accepted += 1
        if self._accepted % PURGE_INTERVAL == 0 or len(self._streams) >= self._maximum:
            self._streams = {stream for stream in self._streams if not stream.closed()}
        if len(self._streams) >= self._maximum:
            self._log_refusal()
            return False
        return True

    def add(self, stream: IOStream) -> None:
        """Count a connection until it is closed."""
        self._streams.add(stream)

    def _log_refusal(self) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            log.error("connection limit reached, refusing connections", extra={"open": len(self._streams)})
