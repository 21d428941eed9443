"""A real Grafana on loopback that is provisioned with the dashboards, and asks one Prometheus."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.grafana.build import home
from tests.support.program import Program
from tornado_app.mongo.embedded.mongod import free_port

HOST = "127.0.0.1"
DATASOURCE = "tests"
"""The uid of the data source: whatever it is, the dashboards find it by their variable."""
SETTINGS = """
[server]
http_addr = {host}
http_port = {port}
[paths]
data = {folder}/data
logs = {folder}/logs
plugins = {folder}/plugins
provisioning = {folder}/provisioning
[auth.anonymous]
enabled = true
org_role = Viewer
[analytics]
reporting_enabled = false
check_for_updates = false
check_for_plugin_updates = false
feedback_links_enabled = false
[news]
news_feed_enabled = false
[security]
disable_gravatar = true
[snapshots]
external_enabled = false
[date_formats]
default_timezone = UTC
[log]
mode = console
level = warn
"""

Object = dict[str, Any]


class Grafana(Program):
    """Grafana with the dashboards of a folder; a context manager. Anonymous users are viewers."""

    def __init__(self, folder: Path, dashboards: Path, prometheus: str) -> None:
        self._port = free_port()
        self.url = f"http://{HOST}:{self._port}"
        installed = home()
        folder.mkdir(parents=True)
        (folder / "grafana.ini").write_text(SETTINGS.format(host=HOST, port=self._port, folder=folder))
        source = {
            "name": "Prometheus",
            "uid": DATASOURCE,
            "type": "prometheus",
            "access": "proxy",
            "url": prometheus,
            "isDefault": True,
            "jsonData": {"timeInterval": "1s", "httpMethod": "POST"},
        }
        provider = {"name": "leaderboard", "type": "file", "options": {"path": str(dashboards)}}
        _provision(folder, "datasources", {"apiVersion": 1, "datasources": [source]})
        _provision(folder, "dashboards", {"apiVersion": 1, "providers": [provider]})
        command = [str(installed / "bin" / "grafana"), "server"]
        flags = [f"--homepath={installed}", f"--config={folder}/grafana.ini"]
        super().__init__([*command, *flags], folder / "grafana.log", self._is_ready)

    def dashboards(self) -> dict[str, Object]:
        """What Grafana has loaded, by title: `meta`, `dashboard` and where its page is, `url`."""
        found = {}
        for row in self.get("/api/search?type=dash-db"):
            loaded = self.get(f"/api/dashboards/uid/{row['uid']}")
            found[row["title"]] = {**loaded, "url": self.url + row["url"]}
        return found

    def get(self, path: str) -> Any:
        """What the HTTP API answers to a GET."""
        status, answer = self._get(path)
        assert status == 200, f"{path}: {status} {answer}"
        return answer

    def _is_ready(self) -> bool:
        try:
            return self._get("/api/health")[0] == 200
        except OSError:
            return False

    def _get(self, path: str) -> tuple[int, Any]:
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def _provision(folder: Path, what: str, content: Object) -> None:
    path = folder / "provisioning" / what
    path.mkdir(parents=True)
    (path / "all.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    for other in ("plugins", "alerting", "notifiers"):
        (folder / "provisioning" / other).mkdir(exist_ok=True)
