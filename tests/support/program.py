"""A program that a test runs, stops and starts again: on a log of its own, ended with pytest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.support.wait import wait_until
from tornado_app.runtime import parent_death

START_SECONDS = 60
STOP_SECONDS = 20


class Program:
    """A command and its readiness check; a context manager. `environment` replaces the whole environment if given."""

    def __init__(
        self, command: list[str], log: Path, ready: Callable[[], bool], environment: dict[str, str] | None = None
    ) -> None:
        self.name = Path(command[0]).name
        self.command = command
        self.log_path = log
        self.environment = environment
        self._ready = ready
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def spawn(self) -> None:
        """Start the process; `wait` returns when it serves. It ends with the thread that calls this."""
        assert self.process is None
        leashed = [sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), *self.command]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                leashed, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Until it serves; an end before that is an error that shows its log."""
        wait_until(self._serves, seconds, f"{self.name} serves; its log ends: {self.log[-2000:]}")

    def start(self) -> None:
        self.spawn()
        self.wait()

    def terminate(self) -> int:
        """End it in order; its exit code."""
        self.signal(signal.SIGTERM)
        return self._reap()

    def kill(self) -> None:
        """kill -9"""
        self.signal(signal.SIGKILL)
        self._reap()

    def freeze(self) -> None:
        """Suspend it: its connections stay open, and it answers nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def close(self) -> None:
        """Make sure that it is gone."""
        if self.process is not None:
            self.kill()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _reap(self) -> int:
        assert self.process is not None
        assert self.process.stdin is not None
        code = self.process.wait(STOP_SECONDS)
        self.process.stdin.close()
        self.process = None
        return code

    def _serves(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}: {self.log[-2000:]}")
        return self._ready()
