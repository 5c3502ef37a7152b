"""What the page shows is of what it names, also while answers are late, or do not come."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from axlstm.collection.collection import open as open_collection
from tests.explore.browser.visits import Visit, serving, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

COLOURS = "() => [254, 255].map((code) => axlstmMap.scatter.palette[code])"


@pytest.fixture(scope="module")
def trained(indexed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a collection with the classifiers ``bird`` and ``engine``; gives its link."""
    folder = Path(shutil.copytree(indexed, tmp_path_factory.mktemp("trained") / "drums.collection"))
    with open_collection(folder) as collection:
        for path in ("bird_call.ogg", "bird_song.ogg", "engine_rev.ogg", "water_river.ogg"):
            for label in ("bird", "engine"):
                collection.label(path, label, verdict="yes" if path.startswith(label) else "no")
        for label in ("bird", "engine"):
            collection.train(label, folder / "classifiers" / label)
    with serving(str(folder)) as link:
        yield link


def _open(visit: Visit, name: str) -> None:
    visit.page.locator("#list .entry", has_text=name).click()
    visit.page.locator("#sound-name", has_text=name).wait_for()


def _refuse(route: Route) -> None:
    route.fulfill(status=503, json={"error": "the disk has gone"})


def test_a_recording_that_cannot_be_opened_does_not_show_the_one_before(browser: Browser, trained: str) -> None:
    with visiting(browser, trained) as visit:
        _open(visit, "bird_song")
        visit.page.wait_for_selector("#picture[src]")
        visit.page.locator("#overlay .tag").first.wait_for()
        visit.page.route("**/api/recording/*", _refuse)
        _open(visit, "engine_rev")
        visit.wait("the disk has gone", "#viewer-said")
        assert visit.page.locator("#picture[src], #strip-picture[src], #overlay > *, #strip-overlay > *").count() == 0
        visit.press("Ww[]{}")
        assert visit.errors == []


def test_a_classifier_that_cannot_be_read_shows_nothing_of_the_one_before(browser: Browser, trained: str) -> None:
    with visiting(browser, trained) as visit:
        visit.page.click("#step-train")
        visit.page.locator("#classifier-card input.threshold").wait_for()
        visit.page.locator("#map-by option[value=score]:enabled").wait_for(state="attached")
        other = "bird" if visit.page.input_value("#classifier") == "engine" else "engine"
        visit.page.route(f"**/api/classifier/{other}", _refuse)
        visit.page.select_option("#classifier", other)
        visit.wait("the disk has gone", "#classifier-card")
        assert visit.page.locator("#classifier-card input.threshold").count() == 0
        visit.page.locator("#map-by option[value=score]:disabled").wait_for(state="attached")
        assert visit.errors == []


def test_detections_of_a_classifier_that_is_not_chosen_any_more_are_not_drawn(browser: Browser, trained: str) -> None:
    held: list[Any] = []
    with visiting(browser, trained) as visit:
        visit.page.click("#step-train")
        visit.page.select_option("#classifier", "bird")
        _open(visit, "bird_song")
        visit.page.locator("#overlay .tag.detection", has_text="bird").first.wait_for(state="attached")
        visit.page.select_option("#classifier", "engine")
        visit.page.wait_for_function("() => !document.querySelector('#overlay .tag.detection')")
        visit.page.route("**/api/detections*classifier=bird*", lambda route: held.append(route))
        with visit.page.expect_request("**/api/detections*classifier=bird*"):
            visit.page.select_option("#classifier", "bird")
        with visit.page.expect_response("**/api/detections*classifier=engine*"):
            visit.page.select_option("#classifier", "engine")
        with visit.page.expect_response("**/api/detections*classifier=bird*"):
            for route in held:
                route.continue_()
        visit.page.wait_for_timeout(500)
        assert visit.page.locator("#overlay .tag.detection").count() == 0
        assert visit.errors == []


def test_windows_without_a_score_are_not_coloured_as_the_most_likely(browser: Browser, trained: str) -> None:
    def unknown(route: Route) -> None:
        route.fulfill(body=b"\xff" * len(route.fetch().body()), content_type="application/octet-stream")

    with visiting(browser, trained, routes={"**/api/scores*": unknown}) as visit:
        visit.page.locator("#map-by option[value=score]:enabled").wait_for(state="attached")
        visit.page.select_option("#map-by", "score")
        visit.wait("not known", "#map-legend")
        most, none = visit.page.evaluate(COLOURS)
        assert most != none
        assert visit.errors == []


def test_verdicts_on_one_label_are_not_shown_as_those_on_another(browser: Browser, trained: str) -> None:
    with visiting(browser, trained) as visit:
        visit.page.locator("#labels .label", has_text="bird").click()
        visit.page.locator("#tab-labelled b:not(:empty)").wait_for()
        visit.page.route("**/api/labelled*", _refuse)
        visit.page.locator("#labels .label", has_text="engine").click()
        visit.wait("the disk has gone", "#notice")
        visit.list("labelled")
        visit.wait("Nothing is labelled “engine” yet.", "#list")
        assert visit.errors == []


def test_another_speed_plays_the_same_stretch_again(browser: Browser, trained: str) -> None:
    with visiting(browser, trained) as visit:
        _open(visit, "bird_song")
        visit.page.wait_for_selector("#picture[src]")
        visit.page.locator("#viewer").click(position={"x": 400, "y": 60})
        assert visit.played_s() > 0
        first = next(url for url in reversed(visit.requests) if "sound.wav" in url)
        visit.page.click(".options summary")
        with visit.page.expect_request("**/sound.wav*slower=10") as asked:
            visit.page.select_option("#slower", "10")
        for name in ("start_s", "end_s"):
            assert parse_qs(urlsplit(asked.value.url).query)[name] == parse_qs(urlsplit(first).query)[name]
        assert visit.errors == []


def test_the_focus_stays_where_lists_are_made_anew_and_tab_reaches_them(browser: Browser, trained: str) -> None:
    with visiting(browser, trained) as visit:
        visit.page.locator("#labels .label", has_text="engine").focus()
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#labels [aria-checked=true] >> text=engine")
        assert "engine" in visit.page.evaluate("() => document.activeElement.textContent")
        visit.page.locator("#map-legend .kind").first.focus()
        visit.page.keyboard.press("Enter")
        assert visit.page.evaluate("() => document.activeElement.getAttribute('aria-pressed')") == "false"
        visit.row(0)
        visit.press("g")
        visit.wait("10 windows chosen", "#map-card")
        visit.row(100)
        visit.page.locator("#list .entry[tabindex='0']").wait_for()
        assert visit.errors == []
