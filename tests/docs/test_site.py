"""The documentation site builds without a warning, leaves nothing out, and is whole where there is no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

import axlstm
from tests.docs.runner import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LOADED = {"script", "img", "iframe", "link", "source", "audio", "video"}
"""Elements whose address a browser asks for before a reader clicks on anything."""


class ReadPage(HTMLParser):
    """A page of the site: its anchors, what its elements lead to, and its text."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.anchors: set[str] = set()
        self.links: list[tuple[str, str]] = []  # of an element, and where to
        self.text = ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if name in ("href", "src") and value is not None:
                self.links.append((tag, value))

    def handle_data(self, data: str) -> None:
        self.text += data


def build_site(folder: Path, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run ``mkdocs build``; where it is missing, the test is skipped, or fails if CI is set."""
    if find_spec("mkdocs") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the site needs mkdocs: pip install '.[site]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    done = build_site(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, ReadPage]:
    return {file: ReadPage(file) for file in site.rglob("*.html") if file.name != "404.html"}


def broken(pages: dict[Path, ReadPage]) -> Iterator[str]:
    """Yield the links that lead to no file, or to no place of a page."""
    for page in pages.values():
        for _, link in page.links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            there = (page.file.parent / unquote(address.path)).resolve() if address.path else page.file
            anchors = pages[there].anchors if there in pages else {""}
            if not there.is_file() or unquote(address.fragment) not in anchors | {""}:
                yield f"{page.file.name}: {link}"


def test_every_link_between_pages_leads_somewhere(pages: dict[Path, ReadPage]) -> None:
    assert list(broken(pages)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<p id="here"><a href="#here"><a href="#there"><a href="page.html"><a href="none.html">')
    assert list(broken({page: ReadPage(page)})) == ["page.html: #there", "page.html: none.html"]


def test_every_document_is_in_the_navigation(site: Path, pages: dict[Path, ReadPage]) -> None:
    linked = {(site / urlsplit(link).path) for tag, link in pages[site / "index.html"].links if tag == "a"}
    documents = [document.relative_to(ROOT / "docs") for document in (ROOT / "docs").rglob("*.md")]
    assert {site / document.with_suffix(".html") for document in documents} <= linked
    assert {site / "start.html", site / "model.html", site / "changes.html", site / "contributing.html"} <= linked


def test_every_public_name_has_its_place(site: Path, pages: dict[Path, ReadPage]) -> None:
    anchors = pages[site / "api/axlstm.html"].anchors
    assert {f"axlstm.{name}" for name in axlstm.__all__} <= anchors
    assert "axlstm.Embedder.embed" in anchors


def test_a_reader_asks_no_other_machine_for_anything(pages: dict[Path, ReadPage]) -> None:
    foreign = [(page.file.name, link) for page in pages.values() for tag, link in page.links
               if tag in LOADED and urlsplit(link).netloc]  # fmt: skip
    assert foreign == []


def test_fences_are_shown_as_code(site: Path, pages: dict[Path, ReadPage]) -> None:
    assert [page.file.name for page in pages.values() if "```" in page.text or "no-run=" in page.text] == []
    assert "axlstm embed recordings/ -o embeddings.parquet" in pages[site / "start.html"].text


def test_wrong_links_stop_the_build(tmp_path: Path) -> None:
    wrong, root = ["none.md", "length.md#nowhere", "../src/none.py"], tmp_path / "root"
    shutil.copytree(ROOT / "docs", root / "docs")
    for path in ROOT.iterdir():
        if path.name != "docs":
            (root / path.name).symlink_to(path)
    with (root / "docs/export.md").open("a", encoding="utf-8") as document:
        document.writelines(f"\n[wrong]({link})\n" for link in wrong)
    done = build_site(tmp_path / "site", root)
    assert done.returncode != 0
    warnings = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert [link for link in wrong if not any(f"'{link}'" in line for line in warnings)] == []


def test_the_search_works_on_pages_from_the_disk(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.click("input.md-search__input")
    page.keyboard.type("microphone")  # the page listens to keys
    page.wait_for_selector(".md-search-result__link")
    links = page.locator(".md-search-result__link").evaluate_all("links => links.map(link => link.pathname)")
    assert any(link.endswith("/length.html") for link in links)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    page.close()
