"""The Markdown pages: every link between them leads to a page and a heading, and the index leads to every page."""

import re
from functools import cache
from itertools import count

from tests.support.project import ROOT

FOLDERS = ("docs", "helm", "clients", "bench")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])

FENCED = re.compile(r"^( *)(```|~~~).*?^\1\2", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: *(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")


def prose(text):
    """The text without its blocks of code."""
    return FENCED.sub("", text)


def links(text):
    """The targets within the project."""
    found = (inline or referred for inline, referred in LINK.findall(prose(text)))
    return [target for target in found if not SCHEME.match(target)]


def headings(text):
    """The anchors that GitHub makes: lower case, no punctuation, hyphens for spaces, a number from the second on."""
    found = set()
    for title in HEADING.findall(prose(text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(next(name for n in count() if (name := f"{slug}-{n}" if n else slug) not in found))
    return found


@cache
def read(page):
    return page.read_text(encoding="utf-8")


def dead(page, target):
    """Whether the link leads nowhere."""
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    return not found.exists() or bool(anchor and found.suffix == ".md" and anchor not in headings(read(found)))


def test_links_resolve_to_a_page_and_heading():
    assert len(PAGES) > 30
    assert sum(len(links(read(page))) for page in PAGES) > 100
    assert not [
        f"{page.relative_to(ROOT)}: {target}" for page in PAGES for target in links(read(page)) if dead(page, target)
    ]


def test_dead_link_and_dead_anchor_are_found():
    page = ROOT / "docs" / "tokens.md"
    text = (
        "[a](nowhere.md) [b](#no-such-heading) [c](logs.md#refusals)\n\n```sh\n[d](code.md)\n```\n\n[e]: missing.md\n"
    )
    assert [target for target in links(text) if dead(page, target)] == ["nowhere.md", "#no-such-heading", "missing.md"]
    assert headings("# A `b`: c!\n## Twice\n## Twice\n") == {"a-b-c", "twice", "twice-1"}


def test_readme_links_the_index_and_the_index_every_docs_page():
    index = ROOT / "docs" / "README.md"
    assert "docs/README.md" in links(read(ROOT / "README.md"))
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in links(read(index))}
    assert not [page.name for page in sorted(index.parent.glob("*.md")) if page not in {*linked, index}]


def test_paths_in_contributing_exist():
    named = re.findall(r"`([\w.-]+/[\w./-]*)`", read(ROOT / "CONTRIBUTING.md"))
    assert len(named) > 40
    assert not [path for path in named if not (ROOT / path).exists()]


def test_pages_have_no_merge_conflict_markers():
    assert not [page for page in PAGES if re.search(r"^(<<<<<<<|>>>>>>>) ", read(page), re.MULTILINE)]
