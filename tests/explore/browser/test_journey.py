"""From a folder of sounds to exported detections, in a browser, as somebody would do it who has no terminal."""

from __future__ import annotations

import csv
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from axlstm.collection.classifiers.classifier import load_classifier
from axlstm.collection.collection import open as open_collection
from axlstm.samples import sample_path
from tests.explore.browser.visits import COMMAND, Visit, serving, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_a_folder_is_indexed_searched_labelled_learned_and_exported(
    browser: Browser, sounds: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(sounds, tmp_path / "recordings"))
    (folder / "notes.wav").write_text("these are my notes", encoding="utf-8")
    with serving(str(folder), "-m", "logmel") as link, visiting(browser, link) as visit:
        visit.page.wait_for_selector("#map-bar:visible", timeout=30_000)  # indexed, and the map is drawn
        _see_what_was_skipped(visit)
        _index_a_new_file(visit, folder)
        _hear_a_window(visit)
        _label_ten(visit)
        _take_one_back(visit)
        _train_and_set_the_threshold(visit)
        _run_on_everything(visit)
        exported = _export_labels(visit)
        assert visit.errors == []
        assert visit.hosts() == {"127.0.0.1"}
    collection = tmp_path / "recordings.collection"
    _check_labels(collection, exported)
    assert load_classifier(collection / "classifiers" / "kick").thresholds.tolist() == [0.25]
    (heard,) = (collection / "exports").glob("kick-*.csv")
    with heard.open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert found
    assert all(row["label"] == "kick" and float(row["score"]) >= 0.25 for row in found)


def _see_what_was_skipped(visit: Visit) -> None:
    visit.wait("1 file could not be used", "#skipped")
    visit.page.locator("#skipped summary").click()
    visit.wait("notes.wav: ", "#skipped-list")


def _index_a_new_file(visit: Visit, folder: Path) -> None:
    shutil.copy(sample_path("bell"), folder)
    visit.page.click("#index-more")
    visit.page.locator("#list .entry", has_text="bell").wait_for()


def _hear_a_window(visit: Visit) -> None:
    visit.row(0)
    visit.page.wait_for_selector("#picture[src]")
    visit.press(" ")
    visit.page.wait_for_selector("#play.playing")
    assert visit.played_s() > 0
    assert any("sound.wav" in url for url in visit.requests)


def _label_ten(visit: Visit) -> None:
    visit.label("kick")
    visit.list("recordings")
    for text, key in (("kick", "y"), ("snare", "n")):
        visit.page.fill("#recordings-like", text)
        visit.page.locator("#list .entry", has_text=text).nth(4).wait_for()
        visit.page.locator("#list .entry").first.click()
        visit.press("s")
        visit.wait("the best", "#list-note")
        visit.list("recordings")
        for number in range(5):
            visit.page.locator("#list .entry").nth(number).click()
            visit.press(key)
            visit.page.locator("#saved[data-kind=good]").wait_for()
        count = f"#labels .count.{'yes' if key == 'y' else 'no'}"
        visit.page.locator(count, has_text="5").wait_for()


def _take_one_back(visit: Visit) -> None:
    visit.press("z")
    visit.wait("Taken back", "#saved")
    visit.page.locator("#labels .count.no", has_text="4").wait_for()


def _train_and_set_the_threshold(visit: Visit) -> None:
    visit.page.click("#step-train")
    visit.page.click("#train")
    visit.page.wait_for_selector("input.threshold", timeout=60_000)
    visit.page.select_option("#map-by", "score")
    visit.page.locator("input.threshold").fill("0.25")
    visit.wait("windows around the threshold", "#list-note")
    visit.page.get_by_text("Keep threshold").click()
    visit.wait("Saved: threshold of kick is 0.250", "#saved")


def _run_on_everything(visit: Visit) -> None:
    visit.page.click("#step-run")
    visit.page.click("#run")
    visit.page.wait_for_selector("#run-result table", timeout=60_000)
    visit.page.wait_for_selector("#run-files a")


def _export_labels(visit: Visit) -> str:
    visit.page.click("#step-export")
    with visit.page.expect_download() as download:
        visit.page.click("#export")
    assert download.value.suggested_filename == "labels.csv"
    return Path(download.value.path()).read_text("utf-8")


def _check_labels(collection: Path, exported: str) -> None:
    rows = list(csv.DictReader(exported.splitlines()))
    assert [row["verdict"] for row in rows].count("yes") == 5
    assert [row["verdict"] for row in rows].count("no") == 4
    assert all(("kick" in row["path"]) == (row["verdict"] == "yes") for row in rows)
    with open_collection(collection) as opened:
        undone = opened.tables.execute("SELECT count(*) FROM labels WHERE undone_at IS NOT NULL").fetchone()[0]
    assert undone == 1


def test_clips_of_a_list_are_sounds_with_a_table(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.row(3)
        visit.page.click("#find-this")
        visit.wait("the best", "#list-note")
        visit.page.click("#step-export")
        visit.page.select_option("#export-what", "clips")
        with visit.page.expect_download() as download:
            visit.page.click("#export")
        with zipfile.ZipFile(download.value.path()) as archive:
            names = archive.namelist()
            waves = [name for name in names if name.endswith(".wav")]
            with archive.open(waves[0]) as file:
                assert soundfile.info(file).frames > 0
        assert len(waves) == 50
        assert any(name.endswith("clips.csv") for name in names)


def test_the_page_is_one_file_that_needs_no_server(browser: Browser, drums: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    subprocess.run([*COMMAND, "explore", str(drums), "--export", str(page)], check=True, capture_output=True)
    with visiting(browser, page.as_uri()) as visit:
        visit.page.locator("#list .entry").nth(1).click()
        visit.page.wait_for_selector("#picture[src^='data:']")
        visit.press(" ")
        visit.page.wait_for_selector("#play.playing")
        assert not visit.page.locator("#verdicts").is_visible()
        assert visit.errors == []
        assert visit.hosts() == {""}
