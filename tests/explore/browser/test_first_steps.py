"""What the page says when something is not there: a map, an encoder, the recordings."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axlstm.collection.collection import open as open_collection
from tests.explore.browser.visits import serving, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route


def test_a_collection_without_a_map_is_drawn(browser: Browser, drums: Path) -> None:
    shutil.rmtree(drums / "cache", ignore_errors=True)
    for file in drums.glob("map*"):
        file.unlink()
    with serving(str(drums)) as link, visiting(browser, link) as visit:
        visit.page.wait_for_selector("#map-bar:visible", timeout=30_000)
        assert visit.errors == []


def test_without_the_encoder_one_labels_but_does_not_search_by_sound(browser: Browser, link: str) -> None:
    def lacking(route: Route) -> None:
        answer = route.fetch()
        about: dict[str, Any] = answer.json()
        about["encoders"][0] |= {
            "available": False,
            "why_not": "this encoder needs onnxruntime: pip install onnxruntime",
        }
        route.fulfill(response=answer, body=json.dumps(about))

    with visiting(browser, link, routes={"**/api/about": lacking}) as visit:
        visit.wait("pip install onnxruntime", "#find-why")
        assert visit.page.locator("#find-file").is_disabled()
        visit.row(0)
        visit.label("wren")
        visit.press("y")
        visit.wait("Saved: wren", "#saved")


def test_recordings_that_have_moved_are_told(browser: Browser, drums: Path, tmp_path: Path) -> None:
    with open_collection(drums) as collection:
        collection.tables.execute("UPDATE settings SET value = ? WHERE name = 'root'", (str(tmp_path / "elsewhere"),))
    with serving(str(drums)) as link, visiting(browser, link) as visit:
        visit.wait("axlstm collection relocate", "#moved")
        visit.wait("not on the disk", "#list")
        visit.row(0)
        visit.wait("is not at", "#viewer-said")
        visit.label("wren")
        visit.press("y")
        visit.wait("Saved: wren", "#saved")


def test_a_chosen_file_is_searched_with(browser: Browser, link: str, sounds: Path) -> None:
    with visiting(browser, link) as visit:
        visit.page.set_input_files("#file", str(sounds / "bird_song.ogg"))
        visit.wait("Like bird_song.ogg", "#list-note")
        visit.page.locator("#list .entry:first-child", has_text="bird_song.ogg").wait_for()
        assert visit.errors == []


def test_a_stretch_is_marked_heard_in_its_band_and_slowed_down(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.page.locator("#list .entry", has_text="bird_song").click()
        visit.page.wait_for_selector("#picture[src]")
        visit.press("W")
        box = visit.page.locator("#viewer").bounding_box()
        assert box is not None
        visit.page.mouse.move(box["x"] + 100, box["y"] + 60)
        visit.page.mouse.down()
        visit.page.mouse.move(box["x"] + 200, box["y"] + 120, steps=3)
        visit.page.mouse.up()
        visit.wait("Marked", "#stretch-said")
        visit.page.locator("#verdicts summary").click()
        visit.page.select_option("#slower", "4")
        visit.page.locator("#verdicts summary").click()
        visit.page.click("#play")
        assert visit.played_s() > 0
        (asked,) = [url for url in visit.requests if "sound.wav" in url][:1]
        assert "low_hz=" in asked
        assert "slower=4" in asked


def test_a_click_chooses_the_window_there_and_a_label_stays_there(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.label("seen from afar")
        visit.page.locator("#list .entry", has_text="bird_song").click()
        visit.page.wait_for_selector("#picture[src]")
        visit.press("W")
        seen = visit.page.get_attribute("#strip-overlay", "aria-label")
        box = visit.page.locator("#viewer").bounding_box()
        assert box is not None
        visit.page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 60)
        visit.page.locator("#sound-facts").filter(has_text=re.compile("^0:07.0 ")).wait_for()
        assert visit.played_s() > 0
        assert visit.page.get_attribute("#strip-overlay", "aria-label") == seen
        visit.press("y")
        visit.wait("Saved: seen from afar", "#saved")
        assert visit.page.inner_text("#sound-facts").startswith("0:07.0")  # not on to a file of the list
        (said,) = visit.ask("labels?label=seen from afar")
        assert (said["start_s"], said["end_s"]) == (7, 8)
        visit.page.click("#show-window")
        visit.page.mouse.click(box["x"] + 2, box["y"] + box["height"] + 15)  # the strip: to the beginning
        visit.wait("The chosen window, 0:07.0, is not in view", "#stretch-said")
        assert visit.errors == []
