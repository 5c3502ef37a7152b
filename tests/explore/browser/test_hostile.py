"""Names of files, sites and labels that hold HTML and script are shown as the text that they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from axlstm.collection.collection import create
from axlstm.collection.maps.draw import draw_map
from axlstm.collection.search.table import WindowTable
from axlstm.samples import sample_path
from tests.explore.browser.visits import serving, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAME = "<img src=x onerror=alert(1)>.ogg"
SITE = "<svg onload=alert(2)>"
LABEL = "<script>alert(3)</script>"


def test_html_and_script_in_names_are_text(browser: Browser, tmp_path: Path) -> None:
    sounds, made, sites = tmp_path / "sounds", tmp_path / "hostile.collection", tmp_path / "sites.csv"
    sounds.mkdir()
    shutil.copy(sample_path("bird_song"), sounds / NAME)
    shutil.copy(sample_path("bird_call"), sounds / "call.ogg")
    sites.write_text(f"path,site\n.,{SITE}\n", encoding="utf-8")
    with create(made, sounds) as collection:
        collection.index([sounds], model="logmel", window_s=1, metadata=sites)
        collection.label(NAME, LABEL, 0, 1, author=SITE)
        draw_map(collection, WindowTable(collection, collection.encoder()))
    with serving(str(made)) as link, visiting(browser, link) as visit:
        visit.page.locator("#list .entry", has_text=NAME).click()
        visit.page.locator("#sound-name", has_text=NAME).wait_for()
        visit.wait(LABEL, "#labels")
        visit.wait(SITE, "#history")
        visit.page.locator("#overlay .tag", has_text=LABEL).first.wait_for()
        visit.page.select_option("#map-by", "site")
        visit.wait(SITE, "#map-legend")
        visit.press("s")
        visit.wait("the best", "#list-note")
        visit.wait(NAME, "#list-note")
        made_of = visit.page.evaluate(
            "[document.querySelectorAll('img[src=x], svg[onload]').length, document.scripts.length]"
        )
        assert made_of == [0, 1]
        assert visit.errors == []
        assert visit.hosts() == {"127.0.0.1"}
