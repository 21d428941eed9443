"""docs/troubleshooting.md has a remedy for each error and close code, and names nothing that does not exist."""

import argparse
import re

import pytest

from tests.support.project import ROOT
from tornado_app.api import remedies
from tornado_app.api.openapi import document
from tornado_app.cli import main
from tornado_app.config import SETTINGS
from tornado_app.observability.metrics import Metrics

DOCUMENT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
LOGS = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
SYMPTOMS = [
    "401 for everyone", "403 for everyone", "404 for everyone", "Sockets close with 4403", "Sockets close with 4429",
    "The page is blank", "The board does not change", "Everyone has the same address",
]  # fmt: skip


def test_document_is_up_to_date():
    assert remedies.rewritten(DOCUMENT) == DOCUMENT


def test_error_has_a_remedy():
    # The codes that the document lists, which it does not publish as a list.
    assert set(remedies.REMEDIES) == document._codes()
    for cause, remedy in remedies.REMEDIES.values():
        assert re.fullmatch(r"\S.*\.", cause)
        assert re.fullmatch(r"\S.*\.", remedy)


def test_close_code_of_a_socket_has_a_row():
    (socket, *_) = document.document()["x-websockets"]
    rows = re.findall(r"(?m)^\| (\d{4}) \| (.*?) \|", DOCUMENT.partition("### Close codes")[2])
    documented = {int(code) for code, _ in rows} - {remedies.ABNORMAL}
    assert documented == {close["code"] for close in socket["closes"]}
    reasons = {close["reason"] for close in socket["closes"] if close["code"] >= 4400}
    assert set(re.findall(r"`(\w+)`", " ".join(reason for _, reason in rows))) == reasons


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_symptom_has_a_section(symptom):
    assert f"\n## {symptom}\n" in DOCUMENT


def known_words():
    """Settings, error codes, and whatever docs/logs.md names: events, fields and reasons."""
    settings = {setting.name for setting in SETTINGS}
    codes = {kind.code for kind in remedies.REMEDIES}
    series = {name for family in Metrics().registry.collect() for name in (family.name, f"{family.name}_total")}
    kinds = {"username", "avatar_url", "profile", "user_id"}
    return settings | codes | series | kinds | set(re.findall(r"`([a-z_]+)`", LOGS))


def test_remedies_name_only_existing_settings():
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", DOCUMENT))
    nginx = {"proxy_http_version", "proxy_set_header"}
    assert named - nginx - known_words() == set()


def test_commands_of_the_page_exist():
    # argparse has no public way to list the flags of a parser.
    parser = main._parser()
    (subparsers,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    commands = set(re.findall(r"leaderboard ([a-z]+(?:-[a-z]+)*) (?=-|URL)|leaderboard (check-config)", DOCUMENT))
    assert {one or other for one, other in commands} <= set(subparsers.choices)
    assert "--check" in subparsers.choices["token"].format_help()
    assert "--check" in subparsers.choices["sign-action"].format_help()


def test_links_of_the_page_resolve():
    headings = {
        re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in re.findall(r"(?m)^#+ (.*)$", DOCUMENT)
    }
    for target in re.findall(r"\]\(([^)]+)\)", DOCUMENT):
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / "docs" / path).is_file(), target
        assert path or anchor in headings, target
