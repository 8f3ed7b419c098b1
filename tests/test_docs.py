"""The documentation: references say what the code says, links lead somewhere, and the site asks nobody else."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import markdown
import pytest
import yaml

from sceneminer.cli.api_reference import api_reference
from sceneminer.cli.reference import cli_reference
from sceneminer.index import agent_words
from sceneminer.index.quota import PLACES as QUOTA_PLACES
from sceneminer.index.where import column_names
from sceneminer.labels.relations import FLAGS, RATES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
AGAIN = "run make docs and commit what it writes"


class _Links(HTMLParser):
    """Where a page leads, what it shows, and what may be linked to in it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.ids.update(value for name, value in attrs if name == "id" and value)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag in ("script", "img", "iframe") or (tag == "link" and told.get("rel") != "canonical"):
            self.fetched += [value for name, value in attrs if name in ("href", "src") and value]


def read_links(html: str) -> _Links:
    found = _Links()
    found.feed(html)
    return found


def read_page(page: Path) -> _Links:
    return read_links(markdown.markdown(page.read_text(), extensions=["tables", "toc", "fenced_code"]))


@pytest.mark.parametrize(("name", "make"), [("cli.md", cli_reference), ("api.md", api_reference)])
def test_references_say_what_the_code_says(name, make):
    assert (DOCS / "reference" / name).read_text() == make(), f"docs/reference/{name} is behind: {AGAIN}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    broken = []
    for link in read_page(page).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        inside = ROOT if page.name == "README.md" else DOCS
        there = target.is_relative_to(inside) and target.exists()
        if not there or (parts.fragment and parts.fragment not in read_page(target).ids):
            broken.append(link)
    assert not broken, f"{page.relative_to(ROOT)} has links that lead nowhere: {broken}"


def test_every_page_is_in_the_navigation():
    def pages(node):
        if isinstance(node, str):
            yield node
        for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from pages(part)

    listed = list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert not there - set(listed), "pages under docs/ that nav in mkdocs.yml lacks"
    assert not set(listed) - there, "nav in mkdocs.yml names pages that are not there"
    assert len(listed) == len(set(listed)), "nav in mkdocs.yml names a page twice"


def test_the_guide_to_queries_knows_every_word_of_a_filter():
    guide = (DOCS / "guides" / "query.md").read_text()
    words = {name for name in column_names() if not name.startswith(("tag.", "label_tag."))}
    words |= {*agent_words.NUMBERS, *agent_words.TEXTS, *agent_words.BOOLS, *agent_words.PLACES, *agent_words.TURNS}
    words |= {*agent_words.GROUPS, "lasting", "some", "none"}
    missing = sorted(word for word in words if not re.search(rf"`{re.escape(word)}[`(]", guide))
    assert not missing, f"docs/guides/query.md does not speak of {missing}"
    for meaning in (*FLAGS.values(), *RATES.values()):
        assert meaning in guide, f"docs/guides/query.md does not say: {meaning}"


def test_the_guide_to_selections_knows_every_quota():
    guide = (DOCS / "guides" / "select.md").read_text()
    assert not [name for name in QUOTA_PLACES if f"`{name}`" not in guide]


@pytest.mark.slow
def test_the_site_builds_strictly_and_fetches_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        elsewhere = [link for link in read_links(page.read_text()).fetched if urlsplit(link).netloc]
        assert not elsewhere, f"{page.name} fetches {elsewhere}"
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?https?:", sheet.read_text()), sheet
