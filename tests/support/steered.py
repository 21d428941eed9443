"""`leaderboard` whose clock and name resolution a test steers while it runs, with a short lease on the ledger.

The file that ENDURANCE_STEERING names holds JSON: `clock`, by how many seconds the time of day is wrong, and `deaf`,
whether no host name can be resolved. What reads the time past Python's `time` (python-jose) keeps the right one.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

LOOK_EVERY = 0.05

_FILE = Path(os.environ["ENDURANCE_STEERING"])
_looked = 0.0
_steering: dict[str, Any] = {}
_time, _time_ns, _getaddrinfo = time.time, time.time_ns, socket.getaddrinfo


def _now() -> dict[str, Any]:
    global _looked, _steering
    if time.monotonic() > _looked + LOOK_EVERY:
        _looked = time.monotonic()
        _steering = json.loads(_FILE.read_text()) if _FILE.exists() else {}
    return _steering


def _resolve(host: Any, *arguments: Any, **options: Any) -> Any:
    if host == "localhost" and _now().get("deaf"):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _getaddrinfo(host, *arguments, **options)


if __name__ == "__main__":
    time.time = lambda: _time() + _now().get("clock", 0)
    time.time_ns = lambda: _time_ns() + _now().get("clock", 0) * 1_000_000_000
    socket.getaddrinfo = _resolve
    from tests.support import hasty  # noqa: F401  # what it imports takes the time's functions over
    from tornado_app.cli.main import main

    sys.exit(main())
