"""Every test, file and setting that docs/security.md names exists."""

from __future__ import annotations

import re

from tests.support.project import ROOT, known_tests
from tornado_app.config.settings import SETTINGS

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_security_page_tests_exist():
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 40
    assert named - known_tests() == set()


def test_security_page_files_exist():
    for path in re.findall(r"`((?:tests|docs|tornado_app)/[\w/.*-]*)`", TEXT):
        assert list(ROOT.glob(path.rstrip("/"))), path


def test_security_page_settings_exist():
    names = {setting.name for setting in SETTINGS}
    checklist = section("In production")
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", checklist))
    assert len(named) > 10
    assert named - names == set()


def test_security_page_threats_have_control_and_evidence():
    rows = [line.split("|")[1:-1] for line in section("Threats").splitlines() if re.match(r"\| (?!Threat|-)", line)]
    assert len(rows) > 25
    for row in rows:
        threat, stopped, shown = (cell.strip() for cell in row)
        assert threat
        assert stopped
        assert "`test_" in shown, threat


def test_security_page_lists_every_attack_test():
    """A new attack fails this test until its threat is documented."""
    attacks = {name for name in known_tests() if _is_attack(name)}
    assert attacks - set(re.findall(r"`(test_\w+)`", TEXT)) == set()


def _is_attack(name: str) -> bool:
    return any(
        f"def {name}(" in path.read_text(encoding="utf-8") for path in (ROOT / "tests/attacks").glob("test_*.py")
    )
