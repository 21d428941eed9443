"""The processes of a benchmark end with it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from bench.generator import CACHE
from tests.support.mongod import end_with_parent
from tests.support.processes import alive, child_processes
from tests.support.project import ROOT
from tests.support.wait import wait_until

END_SECONDS = 30
SLOW = f"""
import time
from bench import __main__ as command, processes
from bench.measures import MEASURES

def slow(bench):
    with bench.stage() as stage:
        stage.mongodb()
        print("started", flush=True)
        time.sleep({END_SECONDS})

MEASURES["slow"] = slow
raise SystemExit(command.main())
"""


@pytest.fixture
def benchmark(mongod_binary):
    """A benchmark that runs, with a mongod, until it is ended."""
    command = [sys.executable, "-c", SLOW, "slow", "--smoke"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=end_with_parent
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        yield process
        process.kill()


def test_benchmark_that_is_terminated_leaves_no_mongod_and_no_folder(benchmark):
    ((mongod, command),) = [each for each in child_processes(benchmark.pid).items() if b"mongod" in each[1]]
    (folder,) = [path for path in CACHE.glob("run-*") if str(path).encode() in command]
    benchmark.send_signal(signal.SIGTERM)
    assert benchmark.wait(END_SECONDS) != 0
    wait_until(lambda: not alive([mongod]), what="its mongod is gone")
    assert not folder.exists()


def test_process_that_starts_after_the_end_of_its_benchmark_ends():
    """The end comes before the process has asked to end with it."""
    code = "import os; from bench import processes; processes._BENCHMARK = -1; processes.tie(os.sched_getaffinity(0))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('runs')"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
