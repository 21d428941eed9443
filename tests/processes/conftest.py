"""Services of several processes, and a look at these from outside."""

import os
from pathlib import Path

import pytest

from tests.support.service import RunningService
from tests.support.wait import wait_until


@pytest.fixture
def start(tmp_path):
    """Starts services of two processes that end with the test; a SIGKILL of them takes all their processes along."""
    running = []

    def start(*flags, **options):
        service = RunningService("--processes", "2", *flags, **options)
        running.append(service)
        return service.start(tmp_path / f"log{len(running)}")

    yield start
    for service in running:
        service.close()


def offspring(pid):
    """The command lines of a process's workers, by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"\nPPid:\t{pid}\n" in (entry / "status").read_text():
                found[int(entry.name)] = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
    return found


def workers(service):
    """The pids of the processes that serve, in the order of their start."""
    return sorted(pid for pid, command in offspring(service.process.pid).items() if b"processes.worker" in command)


def alive(pids):
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]  # noqa: PTH110  # no file is meant


def reached(service):
    """Which process answers a new connection: the ids of its requests begin alike."""
    return service.get("/healthz").headers["X-Request-Id"].partition("-")[0]


def both(service):
    """Connect until both processes have answered; how they are told apart."""
    seen = set()
    wait_until(lambda: seen.add(reached(service)) or len(seen) == 2, what="both processes answer")
    return seen


def restored(service, restarts):
    """Wait until so many processes were started again and all serve; their pids."""
    ready = "all processes serve again"
    wait_until(lambda: service.metric("leaderboard_process_restarts_total") >= restarts, 30, ready)
    wait_until(lambda: service.metric("leaderboard_processes") == 2, 30, ready)
    return workers(service)
