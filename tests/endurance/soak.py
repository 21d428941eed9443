"""`python -m tests.endurance.soak 2h`: hours of ordinary load, and whether anything grows.

Prints a line of CSV every ten seconds. Of each service: MiB, descriptors, sockets, lag of the change stream; of all
updates since the line before: how many, and their p50 and p99 in ms. At the end clients and database are compared.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.endurance.stage import Place, Stage, open_files
from tests.endurance.trial import recover, verdict_of
from tornado_app.config.durations import parse_duration

EVERY = 10.0
HEAD = "second,updates,p50_ms,p99_ms," + ",".join(
    f"{name}_{number}" for number in range(2) for name in ("mib", "descriptors", "sockets", "lag_s")
)


def main(length: str) -> int:
    """Run for so long; the exit code."""
    with Stage("linked", seed=1) as stage:
        stage.loop.run(stage.traffic.begin())
        say(HEAD)
        began = time.monotonic()
        end = began + parse_duration(length)
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(EVERY, left))
            say(",".join([f"{time.monotonic() - began:.0f}", *_answers(stage), *map(_sample, stage.places)]))
        recovery = recover(stage)
        wrong = [*recovery.stuck, *stage.account.take_odd(), *verdict_of(stage, history=True).problems]
    sys.stderr.write("\n".join(wrong or ["nothing was lost, nothing doubled, all agreed"]) + "\n")
    return int(bool(wrong))


def say(text: str) -> None:
    """To whoever watches, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _answers(stage: Stage) -> list[str]:
    took = stage.loop.call(stage.account.take_times) or [0.0]
    return [str(len(took)), *(f"{took[int(len(took) * part)] * 1000:.1f}" for part in (0.5, 0.99))]


def _sample(place: Place) -> str:
    process = place.service.process
    assert process is not None
    lag = place.service.metric("leaderboard_change_stream_lag_seconds")
    sockets = place.service.metric("leaderboard_websocket_connections")
    return f"{memory(process.pid):.1f},{open_files(process.pid)},{sockets:.0f},{lag:.2f}"


def memory(pid: int) -> float:
    """MiB that a process holds. Source: proc(5), field 2 of statm."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
