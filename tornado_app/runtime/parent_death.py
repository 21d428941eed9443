"""Runs a program that ends when the process that asked for it ends, however that ends: kill -9 included.

`python parent_death.py PARENT PROGRAM [ARGUMENT]...`, with a pipe as stdin that only the parent, process PARENT, can
write to. The program takes this process over, so its pid is the one that was started. A file of its own, run without
the package, because what must happen between fork and exec is not safe in a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""Source: prctl(2)."""


def command(*program: str) -> list[str]:
    """The command line that runs a program, given by its path and arguments, on a leash to this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *program]


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the program. Ends with a message where either cannot be."""
    parent, program = int(arguments[0]), arguments[1]
    try:
        if sys.platform == "linux":
            _ask_kernel()
        else:
            _leave_watcher()
        if os.getppid() != parent:  # it ended before we were tied to it
            sys.exit("leash: the parent process has ended")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.execv(program, arguments[1:])  # noqa: S606  # no shell is wanted
    except OSError as error:
        sys.exit(f"{program} cannot be run: {error.strerror}")


def _ask_kernel() -> None:
    """The kernel kills us with our parent: to be exact with the thread that started us, which is the event loop's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(ctypes.c_int(_PR_SET_PDEATHSIG), ctypes.c_ulong(signal.SIGKILL), *[ctypes.c_ulong(0)] * 3) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _leave_watcher() -> None:
    """Where the kernel cannot do it: a child that reads the parent's pipe to its end, and then kills us."""
    us = os.getpid()
    if os.fork() > 0:
        return
    while os.read(0, 1):
        pass
    if os.getppid() == us:  # else the program has ended, and its pid may be another's by now
        os.kill(us, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
