"""The processes of a service, seen from outside."""

import os
import threading
from itertools import count
from pathlib import Path

from tests.support.service import token
from tests.support.wait import wait_until


def child_processes(pid):
    """The command lines of a process's children, by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"\nPPid:\t{pid}\n" in (entry / "status").read_text():
                found[int(entry.name)] = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
    return found


def workers(service):
    """The pids of the worker processes, in the order of their start."""
    return sorted(
        pid for pid, command in child_processes(service.process.pid).items() if b"processes.worker" in command
    )


def alive(pids):
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]  # noqa: PTH110  # no file is meant


def serving_process(service):
    """The process that answers a new connection, as the prefix of its request ids."""
    return service.get("/healthz").headers["X-Request-Id"].partition("-")[0]


def wait_for_both_processes(service):
    """Connect until both processes have answered; return the prefixes of their request ids."""
    seen = set()
    wait_until(lambda: seen.add(serving_process(service)) or len(seen) == 2, what="both processes answer")
    return seen


def wait_for_restarts(service, restarts):
    """Wait until `restarts` processes were restarted and all serve; return their pids."""
    ready = "all processes serve again"
    wait_until(lambda: service.metric("leaderboard_process_restarts_total") >= restarts, 30, ready)
    wait_until(lambda: service.metric("leaderboard_processes") == 2, 30, ready)
    return workers(service)


class Player(threading.Thread):
    """Sends updates, each with an id and again until it is answered: the connections of a killed process break."""

    def __init__(self, service, name, stop):
        super().__init__(daemon=True)
        self.service, self.player, self.stop = service, name, stop
        self.acknowledged, self.odd = 0, []

    def run(self):
        for n in count():
            if self.stop.is_set():
                return
            self._one({"Idempotency-Key": f"{self.player}-{n}"})
            self.stop.wait(0.02)

    def _one(self, headers):
        while True:
            try:
                answer = self.service.post("/api/score", {"score": 1}, token=token(self.player), headers=headers)
            except OSError:
                self.stop.wait(0.02)
                continue
            if answer.status in (200, 201):
                self.acknowledged += 1
            else:
                self.odd.append(answer)
            return
