"""The files of the page: its texts are in one file, nothing comes from elsewhere, nothing makes HTML of text."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest

PAGE = Path(str(resources.files("axlstm.explore") / "page"))
MODULES = sorted(PAGE.glob("*.js"))
TEXTS = [*MODULES, *sorted(PAGE.glob("*.css")), PAGE / "index.html"]
STRINGS: dict[str, str] = json.loads((PAGE / "strings.json").read_text("utf-8"))
CHOSEN = (
    r"(verdict|map|suggest|job|export|format|list|slower|start)\.",  # the rest of the key is a value
    r"key(s)?\.",
)


def test_the_page_is_there() -> None:
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_file_is_short_and_has_one_subject(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 300
    if path.suffix == ".js":
        assert text.startswith("// "), "a module begins with a sentence on what it does"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere_and_no_text_becomes_html(path: Path) -> None:
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser", text
    )
    assert not re.search(r"\sstyle=\"|\son[a-z]+=\"", text)  # the policy of the page allows neither


def test_every_text_that_is_asked_for_exists() -> None:
    keys = set(re.findall(r"data-say(?:-\w+)?=\"([^\"]+)\"", (PAGE / "index.html").read_text("utf-8")))
    for path in MODULES:
        keys |= set(re.findall(r"\bsay\(\s*\"([^\"]+)\"", path.read_text("utf-8")))
    assert keys - set(STRINGS) == set()


def test_every_text_is_used() -> None:
    texts = "".join(path.read_text("utf-8") for path in TEXTS)
    unused = [key for key in STRINGS if f'"{key}"' not in texts and not any(re.match(one, key) for one in CHOSEN)]
    assert unused == []


def test_the_html_holds_no_words_of_its_own() -> None:
    body = (PAGE / "index.html").read_text("utf-8").partition("<body")[2].partition("<noscript>")[0]
    words = re.findall(r">([^<>]*[A-Za-z]{2}[^<>]*)<", body)
    assert [word for word in words if word.strip()] == []


def test_all_modules_are_fetched_at_once() -> None:
    html = (PAGE / "index.html").read_text("utf-8")
    named = set(re.findall(r'rel="modulepreload" href="/page/([^"]+)"', html)) | {"main.js", "microphone-worklet.js"}
    assert named == {path.name for path in MODULES}
