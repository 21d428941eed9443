"""A program started through `parent_death` ends with its parent, by PDEATHSIG or by a watcher process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.embedded import alive
from tests.support.mongod import end_with_parent
from tests.support.wait import wait_until
from tornado_app.runtime import parent_death

ELSEWHERE = f"import sys; sys.platform = 'elsewhere'; sys.path.insert(0, {str(Path(parent_death.__file__).parent)!r}); "
ELSEWHERE += "import parent_death; parent_death.main(sys.argv[1:])"

STARTS = {"kernel": ["-I", "-S", parent_death.__file__], "watcher": ["-I", "-S", "-c", ELSEWHERE]}

PARENT = """
import os, subprocess, sys
command = [sys.executable, *sys.argv[1:], str(os.getpid()), "/bin/sh", "-c", "echo $$; exec sleep 60"]
child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
print(child.stdout.readline().decode().strip(), child.pid, flush=True)
sys.stdin.readline()
child.kill()
child.wait()
child.stdin.close()
child.stdout.read()  # ends when no process is left that could write
print("ended", flush=True)
sys.stdin.readline()
"""

each_way = pytest.mark.parametrize(
    "way",
    [
        pytest.param("kernel", marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel does it")),
        "watcher",
    ],
)


@pytest.fixture
def started(way):
    """A parent with a program that `parent_death` runs; the parent, and the pid of the program as both see it."""
    command = [sys.executable, "-c", PARENT, *STARTS[way]]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, preexec_fn=end_with_parent) as parent:
        program, child = map(int, parent.stdout.readline().split())
        try:
            yield parent, program, child
        finally:
            parent.kill()


@pytest.fixture
def refusal(way, tmp_path):
    """A function that runs a program which `parent_death` refuses to run, and returns the output."""

    def run(*arguments):
        with (tmp_path / "output").open("w") as output:
            command = [sys.executable, *STARTS[way], *arguments]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output) as process:
                assert process.wait(30) == 1
        return (tmp_path / "output").read_text()

    return run


@each_way
def test_program_ends_with_its_parent(started):
    parent, program, child = started
    assert program == child
    assert alive(program)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(program), what="the program is gone")


@each_way
def test_program_that_ends_first_leaves_no_process(started):
    parent, _, _ = started
    print("go", file=parent.stdin, flush=True)
    assert parent.stdout.readline() == "ended\n"


@each_way
def test_program_of_an_ended_parent_does_not_start(refusal):
    assert refusal("1", "/bin/echo", "must not run") == "parent_death: the parent process has ended\n"


@each_way
def test_program_that_does_not_exist_is_reported(refusal):
    output = refusal(str(os.getpid()), "/no/such/program")
    assert output == "/no/such/program cannot be run: No such file or directory\n"
