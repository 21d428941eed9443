"""A Prometheus with the rules, beside a service on this machine: `make observe`. It keeps nothing once it has ended."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

RULES = Path(__file__).with_name("rules.yaml")
HOST = "127.0.0.1"
DEFAULT = f"http://{HOST}:8001/metrics"
INSTALL = (
    "prometheus is not on the PATH. On Debian and Ubuntu: apt-get install --no-install-recommends prometheus\n"
    "On macOS: brew install prometheus"
)
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Loopback is reached without a proxy."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C; the exit code."""
    parser = argparse.ArgumentParser(prog="make observe", description=__doc__)
    parser.add_argument("--metrics", default=DEFAULT, help="what `make run` names as Metrics")
    parser.add_argument("--port", type=int, default=9090, help="port of Prometheus (9090), on loopback")
    options = parser.parse_args(argv)
    program = shutil.which("prometheus")
    if program is None:
        sys.stderr.write(f"{INSTALL}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="leaderboard-observe-") as folder:
        return _run(program, Path(folder), options.metrics, options.port)


def configuration(metrics: str) -> str:
    """The scrape and rule configuration of Prometheus; JSON is YAML too. The labels are those of a Leaderboard."""
    place = urlsplit(metrics)
    target = {"targets": [place.netloc], "labels": {"namespace": "local", "leaderboard": "demo"}}
    scrape = {"job_name": "leaderboard", "scheme": place.scheme, "metrics_path": place.path, "static_configs": [target]}
    often = {"scrape_interval": "5s", "evaluation_interval": "5s"}
    return json.dumps({"global": often, "rule_files": [str(RULES)], "scrape_configs": [scrape]})


def _run(program: str, folder: Path, metrics: str, port: int) -> int:
    config = folder / "prometheus.yml"
    config.write_text(configuration(metrics), encoding="utf-8")
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    ]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    url = f"http://{HOST}:{port}"
    with subprocess.Popen(command) as process:  # noqa: S603 - a program of PATH, and files of this project
        try:
            while process.poll() is None and not _answers(f"{url}/-/ready"):
                time.sleep(0.1)
            if process.poll() is None:
                sys.stdout.write(_guide(metrics, url))
                sys.stdout.flush()
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            return 0


def _guide(metrics: str, url: str) -> str:
    failed = "leaderboard%3Ahttp_requests_failed%3Aratio_rate5m"
    lines = [
        "",
        f"  Alerts    {url}/alerts",
        f"  Rules     {url}/rules",
        f"  Graph     {url}/graph?g0.expr={failed}&g0.tab=0&g0.range_input=15m",
        f"  Targets   {url}/targets",
        "",
        "  A Grafana of yours takes this Prometheus as a data source, and dashboards/*.json by Import.",
        *([] if _answers(metrics) else [f"  Nothing answers at {metrics} yet: `make run` in another terminal."]),
        "",
        "Ctrl-C ends it.",
        "",
    ]
    return "\n".join(lines)


def _answers(url: str) -> bool:
    try:
        with DIRECT.open(url, timeout=2):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


if __name__ == "__main__":
    sys.exit(main())
