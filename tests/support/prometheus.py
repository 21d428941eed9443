"""A real Prometheus on loopback that scrapes what a test runs, and promtool."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.support.program import Program
from tornado_app.mongo.embedded.mongod import free_port

HOST = "127.0.0.1"
INTERVAL = "1s"
INSTALL = "not on PATH; on Debian and Ubuntu: apt-get install --no-install-recommends prometheus"

Object = dict[str, Any]


class QueryError(Exception):
    """Prometheus refuses an expression; the message is its own."""


class Prometheus(Program):
    """A Prometheus on a port of its own; a context manager. It scrapes and evaluates each second by default.

    `folder` holds its configuration, data and log; `rule_files` are paths or patterns.
    """

    def __init__(self, folder: Path, scrape_configs: list[Object], rule_files: Sequence[Path | str] = ()) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": [str(each) for each in rule_files],
            "scrape_configs": scrape_configs,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [
            need("prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={HOST}:{self.port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]
        super().__init__(command, folder / "prometheus.log", self._is_ready)

    def query(self, expression: str) -> list[Object]:
        """The series that an instant query gives now; of a scalar one series without labels."""
        found = self.api("/api/v1/query", query=expression)
        if found["resultType"] == "scalar":
            return [{"metric": {}, "value": found["result"]}]
        return found["result"]

    def api(self, path: str, **arguments: str) -> Any:
        """The `data` of an answer of the HTTP API."""
        status, body = self._get(f"{path}?{urlencode(arguments)}")
        answer = json.loads(body)
        if answer["status"] != "success":
            raise QueryError(f"{status}: {answer['error']} in {arguments}")
        return answer["data"]

    def _is_ready(self) -> bool:
        try:
            return self._get("/-/ready")[0] == 200
        except OSError:
            return False

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def promtool(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool, in `folder` if one is given; its messages are on both outputs."""
    command = [need("promtool"), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


def need(name: str) -> str:
    """The path of a program of Prometheus' package; skip, or with CI=true fail, where there is none."""
    from tests.support.requirements import missing  # which loads plugins, and so comes first

    found = shutil.which(name)
    if found is None:
        missing(f"{name} is {INSTALL}")
    return str(found)
