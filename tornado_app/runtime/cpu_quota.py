"""How many CPUs this process may use: by affinity, and by the quota of its control group.

Source: the Linux kernel's documentation, "Control Group v2" (cpu.max) and "CFS Bandwidth Control" (version 1).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def available_cpus(groups: Path = _GROUPS, mount: Path = _MOUNT) -> int:
    """Whole CPUs, at least 1. `groups`, `mount`: the paths where the kernel reports control groups."""
    scheduled = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([scheduled, *_quotas(groups, mount)])))


def _quotas(groups: Path, mount: Path) -> Iterator[float]:
    """The CPU quotas of this process's control groups and of all groups above them."""
    for folder in _folders(groups, mount):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # no readable quota here
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            yield int(quota) / int(period)  # "max" (no quota) raises ValueError
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
            if int(quota) > 0:  # -1: no quota
                yield int(quota) / int(period)


def _folders(groups: Path, mount: Path) -> Iterator[Path]:
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # In a container, /sys/fs/cgroup may be the own group, whatever the path says.
        for root in {mount / controllers, mount / "cpu", mount} if controllers else {mount, mount / "unified"}:
            inner = PurePosixPath(path.lstrip("/"))
            for part in (inner, *inner.parents):
                yield root / part
