"""The documentation site: `make docs` builds it strictly, it is complete, and it loads nothing from another host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from tests.support.project import ROOT

pytestmark = pytest.mark.long

if TYPE_CHECKING:
    from pathlib import Path

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
NOT_LOADED = {"canonical", "next", "prev"}  # rel of a link that a browser does not fetch


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", site],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT / "mkdocs.yml", folder)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture
def project(tmp_path):
    """A small project with the real configuration and hooks, which builds."""
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copy(ROOT / "docs" / "mkdocs_hooks.py", tmp_path / "docs")
    (tmp_path / "docs" / "README.md").write_text("# Index\n\n## Use it\n\n- [Page](page.md)\n- [More](../MORE.md)\n")
    (tmp_path / "docs" / "page.md").write_text("# Page\n\n[more](../MORE.md#two--three)\n")
    (tmp_path / "MORE.md").write_text("# More\n\n## Two & three\n\n[back](docs/page.md#page)\n")
    return tmp_path


class Loaded(HTMLParser):
    """The addresses that a browser loads to show a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get(LOADING.get(tag, ""))
        if address and not NOT_LOADED & set((values.get("rel") or "").split()):
            self.found.append(address)


def test_docs_pages_are_in_the_site_and_its_navigation(site):
    index = (site / "index.html").read_text(encoding="utf-8")
    pages = sorted(path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md"))
    assert len(pages) > 40
    for page in pages:
        assert page.name == "README" or (site / page / "index.html").is_file(), page
        assert page.name == "README" or f'href="{page}/"' in index, page


def test_files_outside_docs_that_pages_link_to_are_in_the_site(site):
    for path in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/results.md", "helm/leaderboard/README.md"):
        page = (site / "project" / path).with_suffix("")
        assert ((page.parent if page.name == "README" else page) / "index.html").is_file(), path
    assert (site / "project" / "dashboards" / "rules.yaml").is_file()


def test_pages_load_nothing_from_another_host(site):
    pages = list(site.rglob("*.html"))
    loaded = {address for page in pages for address in Loaded(page.read_text(encoding="utf-8")).found}
    assert any(address.endswith(".js") for address in loaded)
    assert any(address.endswith(".css") for address in loaded)
    assert not [address for address in loaded if re.match(r"(https?:)?//", address)]
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", sheet.read_text(encoding="utf-8")), sheet.name


def test_link_to_a_file_outside_docs_and_back_builds(project):
    built = build(project / "mkdocs.yml", project / "site")
    assert built.returncode == 0, built.stderr
    assert 'href="../project/MORE/#two--three"' in (project / "site" / "page" / "index.html").read_text()
    assert 'href="../../page/#page"' in (project / "site" / "project" / "MORE" / "index.html").read_text()


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("docs/page.md", "missing.md"),
        ("docs/page.md", "#no-such-heading"),
        ("docs/page.md", "../MISSING.md"),
        ("docs/page.md", "../MORE.md#no-such-heading"),
        ("MORE.md", "docs/page.md#no-such-heading"),
    ],
)
def test_dead_link_and_dead_anchor_fail_the_build(project, path, link):
    with (project / path).open("a") as page:
        page.write(f"\n[dead]({link})\n")
    built = build(project / "mkdocs.yml", project / "site")
    assert built.returncode == 1
    assert built.stderr.count("WARNING") == 1, built.stderr


def test_page_missing_in_the_index_fails_the_build(project):
    (project / "docs" / "forgotten.md").write_text("# Forgotten\n")
    built = build(project / "mkdocs.yml", project / "site")
    assert built.returncode == 1
    assert "forgotten.md" in built.stderr


def test_code_within_a_list_is_indented_by_four_columns():
    """GitHub accepts less; Python-Markdown ends the list there."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "helm").rglob("*.md")]:
        assert not re.findall(r"^ {1,3}```", page.read_text(encoding="utf-8"), re.MULTILINE), page
