"""Hooks of MkDocs: build the navigation from docs/README.md, and add the files outside docs/ that pages link to.

Such a file is at `project/` plus its path in the project, and its own links work too.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files, InclusionLevel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

OUTSIDE = "project/"
SECTION = re.compile(r"^## (.+)\n([\s\S]*?)(?=^## |\Z)", re.MULTILINE)
ENTRY = re.compile(r"^- \[([^\]]+)\]\(([^)\s]+)\)", re.MULTILINE)
CODE_OR_LINK = re.compile(r"^( *)(?:```|~~~)[\s\S]*?^\1(?:```|~~~)|(?<=\]\()(?![a-z]+:|#)([^)\s#]+)", re.MULTILINE)
RUNBOOKS = "runbooks"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Each section of the index becomes one of the navigation, each bullet's link a page."""
    docs = Path(config.docs_dir)
    index = (docs / "README.md").read_text(encoding="utf-8")
    config.nav = [{"Overview": "README.md"}]
    for title, body in SECTION.findall(index):
        pages = [{name: _in_site("README.md", target)} for name, target in ENTRY.findall(body)]
        config.nav += [{title: pages}] if pages else []
    runbooks = sorted(path.relative_to(docs).as_posix() for path in (docs / RUNBOOKS).glob("*.md"))
    config.nav += [{"Runbooks": runbooks}] if runbooks else []
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files outside docs/ that pages link to, and the targets of their links."""
    project = Path(config.docs_dir).parent
    waiting = [file for file in files if file.is_documentation_page()]
    while waiting:
        page = waiting.pop()
        for target in _links(page.content_string):
            uri = _in_site(page.src_uri, target)
            source = project / uri.removeprefix(OUTSIDE)
            if not uri.startswith(OUTSIDE) or files.get_file_from_path(uri) or not source.is_file():
                continue  # a link to nothing is left to the strict build
            added = File.generated(config, uri, abs_src_path=str(source), inclusion=InclusionLevel.NOT_IN_NAV)
            files.append(added)
            waiting += [added] if added.is_documentation_page() else []
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Change links to the places of their targets in the site."""
    here = page.file.src_uri

    def moved(found: re.Match[str]) -> str:
        target = found[2]
        return posixpath.relpath(_in_site(here, target), posixpath.dirname(here) or ".") if target else found[0]

    return CODE_OR_LINK.sub(moved, markdown)


def _links(markdown: str) -> Iterator[str]:
    return (target for _, target in CODE_OR_LINK.findall(markdown) if target)


def _in_site(page: str, target: str) -> str:
    """The place in the site of a file that a page links to."""
    source = page.removeprefix(OUTSIDE) if page.startswith(OUTSIDE) else f"docs/{page}"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    return path.removeprefix("docs/") if path.startswith("docs/") else OUTSIDE + path
