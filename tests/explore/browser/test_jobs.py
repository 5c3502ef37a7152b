"""Long work is ended from the page: indexing, drawing the map, training. What was there before stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from axlstm.collection.collection import open as open_collection
from axlstm.collection.labels.table import Label, add_labels
from tests.collection.vectors import fill, make_collection
from tests.explore.browser.visits import Visit, serving, visiting
from tests.shards.made import write_sound

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FILES = 20
STUB = Path(__file__).parents[2] / "evaluate" / "stub_hear_module.py"
SLOW = """

def get_scene_embeddings(audio, model):
    import time
    time.sleep(0.05)
    return get_timestamp_embeddings(audio, model)[0].mean(dim=1)
"""


def _stop(visit: Visit, title: str, told: str) -> None:
    """Wait until some of a job is done, and end it."""
    visit.wait(title, "#job")
    visit.page.wait_for_function("() => document.getElementById('job-bar').value > 0")
    visit.page.click("#job-end")
    visit.wait(told, "#notice")
    visit.page.locator("#job").wait_for(state="hidden")


def test_indexing_is_ended_and_what_is_finished_is_kept(browser: Browser, tmp_path: Path) -> None:
    module, sounds = tmp_path / "slow.py", tmp_path / "sounds"
    module.write_text(STUB.read_text(encoding="utf-8") + SLOW, encoding="utf-8")
    for number in range(FILES):
        write_sound(sounds / f"{number:02d}.wav", 60, number, 8000)
    with serving(str(sounds), "-m", str(module)) as link, visiting(browser, link) as visit:
        _stop(visit, "Indexing", "Indexing was stopped. What was finished is kept")
        assert visit.errors == []
    with open_collection(tmp_path / "sounds.collection") as collection:
        kept = collection.tables.execute("SELECT count(*) FROM recordings").fetchone()[0]
    assert 0 < kept < FILES


def test_map_and_training_are_ended_and_all_is_as_it_was(browser: Browser, tmp_path: Path) -> None:
    with make_collection(tmp_path / "made.collection", tmp_path / "sounds", size=64) as collection:
        fill(collection, recordings=100, most_windows=300, size=64)
        folder = collection.folder
        whole = collection.tables.execute("SELECT id, duration_s FROM recordings").fetchall()
        said = [Label(row["id"], 0, row["duration_s"], "wren", "yes" if row["id"] % 2 else "no") for row in whole]
        add_labels(collection, [(label, "me", "test") for label in said])
    with serving(str(folder)) as link, visiting(browser, link) as visit:
        _stop(visit, "Drawing the map", "The map was not drawn to the end")
        visit.page.locator("#map-draw").wait_for()  # it can be drawn later
        visit.page.click("#step-train")
        visit.page.locator("#train:enabled").click()
        _stop(visit, "Training", "Training was stopped. Nothing was written")
        visit.page.wait_for_selector("#train:enabled")
        assert not visit.page.locator("#classifier-box").is_visible()
        assert visit.errors == []
    assert not (folder / "classifiers").exists()
    assert not list((folder / "cache").glob("map*"))
