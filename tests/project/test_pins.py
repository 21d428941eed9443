"""The pinned versions against published advisories, and their licences, without a network."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.support.project import ROOT, known_tests, normal, pinned

LIST = yaml.safe_load((Path(__file__).parent / "advisories.yaml").read_text(encoding="utf-8"))
SHIPPED = ("", "embedded", "motor", "operator", "tracing")
"""The extras of an installation; the empty one is the package itself."""


@cache
def needed() -> dict[str, str]:
    """What the service and the operator run with, and how they ask for it: our requirements, theirs, and so on."""
    found: dict[str, str] = {}
    waiting = [("leaderboard", extra) for extra in SHIPPED]
    while waiting:
        name, extra = waiting.pop()
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # an extra's own; its pin is looked at all the same
        for text in requirements:
            requirement = Requirement(text)
            key = normal(requirement.name)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            if key not in found:
                found[key] = name
                waiting += [(key, wanted) for wanted in ("", *requirement.extras)]
    return found


def entries() -> list[dict[str, Any]]:
    return LIST["advisories"]


def test_required_packages_are_found():
    """Else there would be nothing to look at."""
    some = {"tornado", "pymongo", "python-jose", "cryptography", "ecdsa", "kopf", "aiohttp", "motor", "protobuf"}
    assert some <= set(needed())
    assert set(needed()) <= set(pinned())


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: f"{entry['package']} {entry['id']}")
def test_no_pinned_version_is_affected(entry):
    version = pinned()[entry["package"]]
    affected = SpecifierSet(entry["affected"]).contains(Version(version), prereleases=True)
    assert affected == ("accepted" in entry), f"{entry['package']} {version} and {entry['affected']}: {entry['id']}"


@pytest.mark.parametrize(
    "entry", [entry for entry in entries() if entry["affected"].startswith("<")], ids=lambda entry: entry["id"]
)
def test_version_comparison_finds_an_affected_version(entry):
    bound = entry["affected"].lstrip("<=")
    below = "0.0.1" if not entry["affected"].startswith("<=") else bound
    assert SpecifierSet(entry["affected"]).contains(Version(below), prereleases=True)


def test_required_packages_were_all_checked():
    """A new dependency fails this test until it is checked."""
    reviewed = {entry["package"] for entry in entries()} | set(LIST["none_known"])
    assert set(needed()) - reviewed == set()


def test_accepted_advisories_have_a_reason_and_existing_tests():
    accepted = [entry for entry in [*entries(), *LIST["carried"]] if "accepted" in entry]
    assert accepted
    for entry in accepted:
        assert len(entry["accepted"]) > 40
        assert set(entry["shown_by"]) <= known_tests(), entry["id"]
        assert entry["shown_by"] or "Not prevented" in entry["accepted"]


def test_accepted_advisories_are_in_the_threat_model():
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    for entry in [*entries(), *LIST["carried"]]:
        assert "accepted" not in entry or entry["id"] in text, entry["id"]


def licences(name: str) -> set[str]:
    """By the newest metadata field that the package has."""
    metadata = distribution(name).metadata
    text = metadata.get("License-Expression") or ""
    if not text:
        kinds = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier", []) if line.startswith("Lic")]
        text = metadata.get("License") or ""
        text = text if 0 < len(text) < 40 else " AND ".join(kinds)
        text = " ".join(text.split())
    words = LIST["licences"]["words"]
    return {words.get(part.strip(), part.strip()) for part in re.split(r" AND | OR ", words.get(text, text))}


@pytest.mark.parametrize("name", sorted(needed()))
def test_package_licence_is_allowed(name):
    try:
        found = licences(name)
    except PackageNotFoundError:
        pytest.fail(f"{name} is not installed: pip install -e '.[dev,operator]'")
    allowed = {*LIST["licences"]["allowed"], LIST["licences"]["also"].get(name)}
    assert found <= allowed, f"{name}: {found}"


def test_database_wheel_is_documented():
    """The wheel's metadata says Apache; mongod itself is under the SSPL, which matters for redistribution."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    assert "SSPL" in text
