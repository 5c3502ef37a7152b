"""A server ends, and another one of another collection begins at the same address, as it does by default."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from axlstm.collection.collection import create
from axlstm.collection.collection import open as open_collection
from axlstm.collection.maps.draw import draw_map
from axlstm.collection.search.table import WindowTable
from tests.explore.browser.visits import Visit, serving, visiting
from tests.shards.made import write_sound

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PIXELS = """() => {
  const [image, canvas] = [document.getElementById("picture"), document.createElement("canvas")];
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  return pen.getImageData(0, 0, canvas.width, canvas.height).data.reduce((sum, value) => sum + value, 0);
}"""


def _make(folder: Path, name: str, seed: int) -> Path:
    """A collection of one recording of six seconds, with its map."""
    made = folder / f"{name}.collection"
    write_sound(folder / name / f"{name}.wav", 6, seed, 8000)
    with create(made, folder / name) as collection:
        collection.index([folder / name], model="logmel", window_s=1)
        draw_map(collection, WindowTable(collection, collection.encoder()))
    return made


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return int(opened.getsockname()[1])


def _open(visit: Visit, name: str) -> float:
    """Open the recording, and return the sum of its picture's pixels."""
    visit.page.locator("#list .entry", has_text=name).click()
    visit.page.wait_for_selector("#picture[src]")
    visit.page.wait_for_function("() => document.getElementById('picture').naturalWidth > 0")
    shown: float = visit.page.evaluate(PIXELS)
    return shown


def test_an_old_tab_changes_nothing_in_the_next_collection_and_no_old_picture_is_shown(
    browser: Browser, tmp_path: Path
) -> None:
    wren, owl, port = _make(tmp_path, "wren", 1), _make(tmp_path, "owl", 2), _free_port()
    with ExitStack() as first, visiting(browser, first.enter_context(serving(str(wren), port=port))) as old:
        before = _open(old, "wren.wav")
        old.label("bird")
        old.press("y")
        old.wait("Saved: bird", "#saved")
        first.close()
        with serving(str(owl), port=port) as link:
            new = Visit(old.page.context.new_page())
            new.page.goto(link)
            new.page.wait_for_selector("body[data-ready]")
            assert _open(new, "owl.wav") != before
            old.page.bring_to_front()
            old.press("n")
            old.wait("The server was started anew", "#notice")
            assert old.page.inner_text("#name") == "wren.collection"
            assert old.errors == []
    with open_collection(owl) as collection:
        assert collection.tables.execute("SELECT count(*) FROM labels").fetchone()[0] == 0


def test_a_link_on_another_site_opens_the_page(browser: Browser, link: str) -> None:
    """Such as in a notebook at localhost: a cookie that browsers hold back there would end in a refusal."""
    context = browser.new_context()
    page = context.new_page()
    notebook = f'<a href="{link}">the page</a>'
    page.route("http://elsewhere.test/", lambda route: route.fulfill(body=notebook, content_type="text/html"))
    page.goto("http://elsewhere.test/")
    page.click("a")
    page.wait_for_selector("body[data-ready]", timeout=15_000)
    assert "token" not in page.url
    context.close()
