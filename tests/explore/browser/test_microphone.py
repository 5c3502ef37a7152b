"""What the microphone hears is searched with, and scored live. The browser's plays `HEARD` in place of a real one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from axlstm.collection.collection import create
from axlstm.collection.collection import open as open_collection
from axlstm.samples import sample_path, strokes
from tests.browsers import HEARD
from tests.collection.made import save_model
from tests.explore.browser.visits import serving, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LEVEL = "() => document.getElementById('live-level').value > 0.02"


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A collection of a model that streams, with the classifier ``bird``: its link, and its folder."""
    folder = tmp_path_factory.mktemp("birds")
    sounds, made = folder / "sounds", folder / "birds.collection"
    sounds.mkdir()
    others = [stroke.path for stroke in strokes()][:8]
    for path in (sample_path("bird_song"), sample_path("bird_call"), sample_path("engine_rev"), *others):
        shutil.copy(path, sounds)
    with create(made, sounds) as collection:
        collection.index([sounds], model=str(save_model(folder / "small")), window_s=1)
        for path in sorted(sounds.iterdir()):
            collection.label(path.name, "bird", verdict="yes" if path.name.startswith("bird") else "no")
        collection.train("bird", made / "classifiers" / "bird")
    with serving(str(made)) as link:
        yield link, made


def test_what_is_recorded_is_searched_with(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.page.click("#find-heard")
        visit.wait("Listening, 2 s. Press again to search.", "#list-note")
        assert visit.page.get_attribute("#find-heard", "aria-pressed") == "true"
        visit.page.click("#find-heard")
        visit.wait("Like what the microphone heard", "#list-note")
        visit.page.locator("#list .entry:first-child", has_text=HEARD).wait_for()
        visit.page.wait_for_selector("#find-heard[aria-pressed=false]")
        assert visit.errors == []


def test_a_classifier_scores_what_is_heard_until_it_is_stopped(browser: Browser, birds: tuple[str, Path]) -> None:
    link, folder = birds
    with visiting(browser, link) as visit:
        visit.page.click("#step-live")
        visit.page.locator("#live:enabled").click()
        visit.wait("Listening. The first score comes after one window.", "#live-scores")
        visit.page.wait_for_function(LEVEL)
        visit.page.locator("#live-scores .name", has_text="bird").wait_for()
        visit.page.locator("#live-scores .bars i.over").nth(1).wait_for()  # above the threshold, again and again
        visit.wait("heard", "#live-scores")
        visit.page.click("#live")
        visit.page.wait_for_selector("#live[aria-pressed=false]")
        visit.page.wait_for_selector("#live-level", state="hidden")
        asked = sum("/api/live" in url for url in visit.requests)
        bars = visit.page.locator("#live-scores .bars i").count()
        visit.page.wait_for_timeout(800)  # more than a piece that is sent
        assert sum("/api/live" in url for url in visit.requests) == asked
        # What was heard last stays to be read; the answer to the last piece may come behind the stop.
        assert visit.page.locator("#live-scores .bars i").count() >= bars > 0
        assert visit.errors == []
    with open_collection(folder) as collection:
        kept = [
            collection.tables.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("labels", "queries")
        ]
    assert kept == [11, 0]


def test_a_browser_without_a_microphone_says_what_to_do(browser: Browser, link: str) -> None:
    refuse = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))"
    with visiting(browser, link) as visit:
        visit.page.evaluate(f"() => {{ {refuse} }}")
        visit.page.click("#find-heard")
        visit.wait("lets this page hear no microphone", "#notice")
        visit.page.wait_for_selector("#find-heard[aria-pressed=false]")
        assert visit.errors == []


def test_another_classifier_ends_what_the_one_before_hears(browser: Browser, birds: tuple[str, Path]) -> None:
    link, folder = birds
    shutil.copytree(folder / "classifiers/bird", folder / "classifiers/other")
    with visiting(browser, link) as visit:
        visit.page.click("#step-live")
        visit.page.locator("#live:enabled").click()
        visit.page.wait_for_function(LEVEL)
        now = visit.page.input_value("#classifier")
        visit.page.click("#step-train")
        visit.page.select_option("#classifier", "other" if now == "bird" else "bird")
        visit.page.wait_for_selector("#live[aria-pressed=false]", state="attached")
        assert visit.errors == []
    shutil.rmtree(folder / "classifiers/other")
