"""What is shown, listed and chosen stays when the command line changes the windows of the collection."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from axlstm.collection.collection import open as open_collection
from axlstm.collection.search.table import WindowTable
from axlstm.collection.upkeep import remove
from axlstm.samples import sample_path
from tests.explore.browser.visits import Visit, serving, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHOWN = """() => ({
  name: document.getElementById("sound-name").textContent,
  facts: document.getElementById("sound-facts").textContent,
  marked: document.getElementById("stretch-said").textContent,
  camera: axlstmMap.scatter.camera,
  seen: document.getElementById("strip-overlay").getAttribute("aria-label"),
})"""
NAMES = "[...document.querySelectorAll('#list .entry .name')].map((entry) => entry.textContent)"


def _change_windows(folder: Path) -> str:
    """Remove the recording with the first rows, so that all others move up, and index another one."""
    more = folder.with_name("more")
    more.mkdir()
    shutil.copy(sample_path("bell"), more)
    with open_collection(folder) as collection:
        table = WindowTable(collection, collection.encoder())
        query = "SELECT path FROM recordings WHERE id = ?"
        removed: str = collection.tables.execute(query, (int(table.recordings[0]),)).fetchone()["path"]
        remove(collection, [removed])
        collection.index([more], model="logmel", window_s=1)
    return removed


def _begin(visit: Visit) -> None:
    """Search, choose by the lasso's key, show the whole recording, and mark a stretch of it."""
    visit.label("engine")
    visit.page.locator("#list .entry", has_text="engine_rev").click()
    visit.press("s")
    visit.wait("the best 50", "#list-note")
    visit.page.locator("#list .entry").nth(3).click()
    visit.page.wait_for_selector("#picture[src]")
    visit.press("g")
    visit.wait("10 windows chosen", "#map-card")
    visit.list("found")
    visit.press("m++")
    visit.press("Wv")
    visit.page.keyboard.press("Shift+ArrowLeft")
    visit.wait("Marked", "#stretch-said")


def test_what_is_shown_listed_and_chosen_stays_where_rows_have_changed(browser: Browser, drums: Path) -> None:
    with serving(str(drums)) as link, visiting(browser, link) as visit:
        _begin(visit)
        visit.page.route("**/api/changes*", lambda route: route.abort())  # at first nobody tells the page of changes
        row = int(visit.page.locator("#sound").get_attribute("data-row") or -1)
        before, names = visit.page.evaluate(SHOWN), visit.page.evaluate(NAMES)
        removed = _change_windows(drums)
        visit.press("n")  # names no row
        visit.wait("Saved: engine", "#saved")
        left = [name for name in names if removed not in name]
        visit.wait(f"{len(names) - len(left)} windows that were listed or chosen are not", "#notice")
        visit.page.click("[data-verdict=yes]")  # names rows of earlier windows
        visit.wait("(10 windows)", "#saved")
        visit.page.wait_for_selector(f"#sound:not([data-row='{row}'])")
        assert visit.page.evaluate(SHOWN) == before
        assert visit.page.evaluate(NAMES) == left
        assert "10" in visit.page.inner_text("#tab-chosen")
        visit.wait("have come since the map was drawn", "#map-old")
        visit.page.click("#find-chosen")
        visit.wait("Like 10 chosen windows", "#list-note")
        visit.page.unroute("**/api/changes*")
        with open_collection(drums) as collection:
            remove(collection, [visit.page.evaluate(SHOWN)["name"]])  # the best hit
        visit.page.wait_for_selector("#sound.empty")  # what was shown has gone
        assert visit.errors == []
    with open_collection(drums) as collection:
        query = "SELECT path FROM labels JOIN recordings ON recordings.id = recording ORDER BY labels.id LIMIT 1"
        assert collection.tables.execute(query).fetchone()["path"] == before["name"]
