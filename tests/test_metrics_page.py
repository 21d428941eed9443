"""docs/metrics.md says what the code declares."""

import subprocess
import sys
from pathlib import Path

from tornado_app.metrics_page import render
from tornado_app.observability.metrics import Metrics

PROJECT = Path(__file__).parents[1]


def test_the_page_is_the_one_that_the_code_makes():
    page = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == render(), "run: python -m tornado_app.metrics_page > docs/metrics.md"


def test_the_command_prints_the_page():
    command = [sys.executable, "-m", "tornado_app.metrics_page"]
    done = subprocess.run(command, capture_output=True, cwd=PROJECT, check=True, timeout=60)
    assert done.stdout.decode() == render()


def test_every_metric_has_its_row_and_a_sentence():
    rows = [line for line in render().splitlines() if line.startswith("| `leaderboard_")]
    for family in Metrics().registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        (row, *_) = [row for row in rows if row.startswith(f"| `{name}` | {family.type} |")]
        assert family.documentation.endswith(".")
        assert family.documentation in row
