"""`leaderboard …` as a process in its own session, with pipes or a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from tests.support.fake_terminal import shown
from tests.support.mongod import end_with_parent
from tests.support.requirements import missing
from tornado_app.core.errors import StartupError
from tornado_app.mongo.embedded.mongod import find_binary


def need_mongod() -> None:
    """Skip, or with CI=true fail, where a command could not start its own database."""
    try:
        find_binary()
    except StartupError as error:
        missing(str(error))


class Command:
    """A running command; a context manager that ends it. On a `terminal` of columns and rows, else with pipes.

    `program`: another one than `leaderboard`, whose errors go to the terminal as well.
    """

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        terminal: tuple[int, int] | None = None,
        term: str = "xterm-256color",
        program: tuple[str, ...] = (),
    ):
        self._errors = folder / "stderr"
        self.output = ""
        self._written = ""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("LEADERBOARD_")}
        environment |= {"TERM": term, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [*(program or (sys.executable, "-m", "tornado_app")), *arguments]
        with self._errors.open("wb") as errors:
            outer, inner = os.pipe() if terminal is None else os.openpty()
            self._reading: int | None = outer
            if terminal is not None:
                self.resize(*terminal)

            def prepare() -> None:
                end_with_parent()
                if terminal is not None:
                    fcntl.ioctl(inner, termios.TIOCSCTTY, 0)

            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL if terminal is None else inner,
                stdout=inner,
                stderr=inner if program else errors,
                start_new_session=True,
                preexec_fn=prepare,
            )
        self._inner = inner if terminal is not None else None  # kept, so that its modes can be looked at in the end
        if terminal is None:
            os.close(inner)

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.hang_up()
        if self._inner is not None:
            os.close(self._inner)

    def hang_up(self) -> None:
        """Close the reading end of its output."""
        if self._reading is not None:
            os.close(self._reading)
            self._reading = None

    @property
    def errors(self) -> str:
        """What it has written to stderr."""
        return self._errors.read_text(encoding="utf-8", errors="replace")

    def expect(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        """The first match in what it prints from now on; what precedes it is gone from `output`."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.output, re.DOTALL)
            if match:
                self.output = self.output[match.end() :]
                return match
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{pattern!r} was not printed:\n{self.output[-3000:]}\n{self.errors}")

    def rest(self, seconds: float = 30) -> str:
        """What it prints until it ends."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._read(min(left, 0.1)):
            pass
        return self.output

    def _read(self, seconds: float) -> bool:
        """Read some more, within so many seconds; False when it has ended."""
        if not select.select([self._reading], [], [], seconds)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self._reading, 65536)
        except OSError:  # a terminal whose last user has gone
            return False
        text = data.decode("utf-8", "replace")
        self.output += text
        self._written += text
        return bool(data)

    def screen(self, columns: int, rows: int) -> list[str]:
        """The lines on its terminal, of this size from the start, once it has written nothing for a moment."""
        while self._read(0.1) and select.select([self._reading], [], [], 0.1)[0]:
            pass
        return shown(columns, rows, self._written)

    def type(self, text: str) -> None:
        """Keys, on a terminal."""
        os.write(self._reading, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Change the terminal's size."""
        fcntl.ioctl(self._reading, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        assert self._inner is not None
        return bool(termios.tcgetattr(self._inner)[3] & termios.ECHO)

    def interrupt(self, seconds: float = 20) -> int:
        """Ctrl-C, which reaches each process of the session; the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(seconds)
