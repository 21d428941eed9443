"""Another time of day for a process, by libfaketime: also for what does not read it by Python's `time`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

NEEDED = "another clock for a process needs libfaketime: apt-get install libfaketime"


def library() -> Path | None:
    """libfaketime, where Debian and Ubuntu have it."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def environment(offset: str) -> Mapping[str, str]:
    """Variables of a process whose clock is off by `offset`, such as `+10m`; its monotonic clock is not."""
    found = library()
    assert found is not None, NEEDED
    return {"LD_PRELOAD": str(found), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
