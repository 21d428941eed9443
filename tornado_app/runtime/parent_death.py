"""Runs a program that is killed when its parent process ends, also by kill -9.

`python parent_death.py PARENT PROGRAM [ARGUMENT]...`, with a pipe as stdin that only the parent, process PARENT, can
write to. The program replaces this process, and so has its pid. This file is run by itself, without the package,
because the steps between fork and exec are not safe in a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""Source: prctl(2)."""


def command(*program: str) -> list[str]:
    """The command line that runs a program, given by path and arguments, and kills it when this process ends."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *program]


def main(arguments: list[str]) -> None:
    """Guard this process against the death of its parent and execute the program. Exits with a message on failure."""
    parent, program = int(arguments[0]), arguments[1]
    try:
        if sys.platform == "linux":
            _set_parent_death_signal()
        else:
            _fork_watcher()
        if os.getppid() != parent:  # the parent ended before the guard was in place
            sys.exit("parent_death: the parent process has ended")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.execv(program, arguments[1:])  # noqa: S606  # no shell is wanted
    except OSError as error:
        sys.exit(f"{program} cannot be run: {error.strerror}")


def _set_parent_death_signal() -> None:
    """Have the kernel kill this process with its parent: with the thread that started it, the event loop's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(ctypes.c_int(_PR_SET_PDEATHSIG), ctypes.c_ulong(signal.SIGKILL), *[ctypes.c_ulong(0)] * 3) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _fork_watcher() -> None:
    """On other kernels: fork a watcher that reads the parent's pipe to its end, and then kills this process."""
    program = os.getpid()
    if os.fork() > 0:
        return
    while os.read(0, 1):
        pass
    if os.getppid() == program:  # otherwise the program has ended, and its pid may be reused
        os.kill(program, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
