"""The machine and the versions that belong to the figures."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.bench import WARMUP, Bench
from bench.generator import CACHE, MOST_GENERATOR
from tornado_app import __version__
from tornado_app.mongo.embedded.mongod import find_binary

LIBRARIES = ("tornado", "pymongo", "motor", "python-jose", "msgspec", "websockets")


def describe(bench: Bench, names: str, seconds: float) -> str:
    """The head of results.md."""
    cores = bench.cores
    apart = "the same core: figures mean little" if cores.server == cores.generator else "another core"
    rows = {
        "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "System": f"{platform.system()} {platform.release()}, data on {_file_system(CACHE)}",
        "Versions": ", ".join([
            f"leaderboard {__version__}", f"Python {platform.python_version()}", f"MongoDB {_mongod()}",
            *(f"{name} {version(name)}" for name in LIBRARIES),
            *([f"Redis {_redis()}"] if shutil.which("redis-server") else []),
        ]),
        "Runs": f"{bench.rounds} rounds of {bench.seconds:g} s after {WARMUP:g} s of warm-up; {seconds / 60:.0f} min",
    }  # fmt: skip
    table = "\n".join(f"| {name} | {text} |" for name, text in rows.items())
    return f"""# Benchmarks

Made by `make bench`; one alone is `python -m bench NAME`, of {names}.

| | |
|---|---|
{table}

Read ratios, not absolute figures: both sides of one are measured in turns within the same round. Figures are medians
over the rounds, with the range. Server and mongod are pinned to one core, the load generator to {apart}. A run
in which the generator passes {MOST_GENERATOR:.0%} of its core is void and left out. U is the CPU that a bare Tornado
handler spends on one `GET` of fixed bytes, measured in the same rounds. CPU is that of the process trees, from /proc.
"""


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else platform.machine()


def _file_system(path: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "an unknown file system"


def _mongod() -> str:
    return _first_version([str(find_binary()), "--version"])


def _redis() -> str:
    return _first_version(["redis-server", "--version"])


def _first_version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return found[0] if found else "unknown"
