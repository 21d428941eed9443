"""A real `leaderboard serve` in a process of its own, and a small client for it."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import re
import resource
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tornado_app.auth import keys, minting

KEY = secrets.token_urlsafe(32)
READY = re.compile(r"leaderboard ready at (\S+) \(metrics at (\S+)\)")
START_SECONDS = 60
ROOM_FOR_TESTS = {  # all tests come from one address
    "LEADERBOARD_AUTH_FAILURE_LIMIT": "2000/1s",
    "LEADERBOARD_MAX_CONNECTIONS_PER_ADDRESS": "1000000",
}


class Answer(NamedTuple):
    """An HTTP answer; `json` is None where the body is none."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


def token(sub: str = "alice", *, scope: str = "", ttl: float = 7200, key: str = KEY, **claims: Any) -> str:
    """A bearer token that the running services accept."""
    return minting.mint(keys.signing_secret(key), sub=sub, scopes=scope.split(), ttl=ttl, **claims)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a killed pytest leaves nothing behind


class RunningService:
    """`leaderboard serve` with the given flags. `env`: a variable that is None is left out; `program` runs it."""

    def __init__(
        self,
        *flags: str,
        uri: str | None = None,
        limits: tuple[int, int] | None = None,
        database: str | None = None,
        env: dict[str, str | None] | None = None,
        program: tuple[str, ...] = ("-m", "tornado_app"),
    ):
        self._command = [sys.executable, *program, "serve", "--port", "0", "--metrics-port", "0"]
        self._command += ["--action-proof", "optional", *flags]
        given = {k: v for k, v in os.environ.items() if not k.startswith("LEADERBOARD_")}
        given |= {"LEADERBOARD_JWT_KEY": KEY, "PYTHONUNBUFFERED": "1"} | ROOM_FOR_TESTS | (env or {})
        self._env = {k: v for k, v in given.items() if v is not None}
        if uri is not None:
            self._env["LEADERBOARD_MONGODB_URI"] = uri
        if database is not None:
            self._env["LEADERBOARD_MONGODB_DATABASE"] = database
        self._limits = limits  # of open files, soft and hard
        self.url = self.metrics_url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path: Path | None = None

    def _prepare(self) -> None:
        _end_with_parent()
        if self._limits is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)

    def start(self, log_path: Path) -> RunningService:
        """Start, and wait for the line `leaderboard ready at`."""
        self.start_only(log_path)
        return self.wait_ready()

    def start_only(self, log_path: Path) -> None:
        """Start the process."""
        self.log_path = log_path
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                preexec_fn=self._prepare,
            )

    def wait_ready(self) -> RunningService:
        """Wait for the line `leaderboard ready at`."""
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            match = READY.search(self.log)
            if match:
                self.url, self.metrics_url = match[1], match[2]
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"the service did not start:\n{self.log}")

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path else ""

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()

    # -- asking -----------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own; a body that is not bytes goes as JSON."""
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **options: Any) -> Answer:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.call("POST", path, body, **options)

    def readiness(self) -> tuple[int, list[str]]:
        """Status and reasons, asked on the port of the metrics, which is open to the end."""
        place = urlsplit(self.metrics_url)
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            return response.status, json.loads(response.read()).get("reasons", [])
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 where there are none."""
        place = urlsplit(self.metrics_url)
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
        connection.request("GET", place.path)
        text = connection.getresponse().read().decode()
        connection.close()
        total = 0.0
        for line in text.splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name:
                found = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if all(found.get(k) == v for k, v in labels.items()):
                    total += float(match[3])
        return total
