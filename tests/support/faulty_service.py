"""`leaderboard` with a clock and a name resolution that a test controls, and a short ledger lease.

With several processes, its workers have them too. The file that ENDURANCE_FAULTS names holds JSON: `clock`, by how many
seconds the time of day is wrong, and `no_dns`, whether no host name can be resolved. What reads the time past
Python's `time` (python-jose) keeps the right one.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import sys
import time
from pathlib import Path
from typing import Any

READ_INTERVAL = 0.05

_FILE = Path(os.environ["ENDURANCE_FAULTS"])
_read_at = 0.0
_faults: dict[str, Any] = {}
_time, _time_ns, _getaddrinfo = time.time, time.time_ns, socket.getaddrinfo


def _current() -> dict[str, Any]:
    global _read_at, _faults
    if time.monotonic() > _read_at + READ_INTERVAL:
        _read_at = time.monotonic()
        _faults = json.loads(_FILE.read_text()) if _FILE.exists() else {}
    return _faults


def _resolve(host: Any, *arguments: Any, **options: Any) -> Any:
    if host == "localhost" and _current().get("no_dns"):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _getaddrinfo(host, *arguments, **options)


if __name__ == "__main__":
    time.time = lambda: _time() + _current().get("clock", 0)
    time.time_ns = lambda: _time_ns() + _current().get("clock", 0) * 1_000_000_000
    socket.getaddrinfo = _resolve
    from tests.support import short_lease_service  # noqa: F401  # its imports bind the replaced time functions

    if sys.argv[1].isdecimal():  # the first descriptor of a worker
        runpy.run_module("tornado_app.processes.worker", run_name="__main__")
    from tornado_app.cli.main import main
    from tornado_app.processes import worker_handle

    worker_handle._WORKER = "tests.support.faulty_service"  # the program of a worker is no setting
    sys.exit(main())
