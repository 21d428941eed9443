"""docs/settings.md says what the code does."""

import re
import subprocess
import sys

from tests.support.project import ROOT
from tornado_app.config import SETTINGS
from tornado_app.config.document import render


def test_settings_page_is_up_to_date():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == render(), "run: python -m tornado_app.config > docs/settings.md"


def test_command_prints_the_settings_page():
    done = subprocess.run(
        [sys.executable, "-m", "tornado_app.config"], capture_output=True, cwd=ROOT, check=True, timeout=60
    )
    assert done.stdout.decode() == render()


def test_settings_page_describes_every_setting():
    page = render()
    for setting in SETTINGS:
        assert f"| `{setting.name}` |" in page
        assert setting.info.doc.endswith(".")
    rows = [line for line in page.splitlines() if line.startswith("| `") and "NO_COLOR" not in line]
    assert len(rows) == len(SETTINGS)
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
