"""Which window is shown after a label, an undo, and a search: the next key is for the one that is meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.explore.browser.visits import visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHOWN = "#list .entry:nth-child({})[aria-selected=true]"


def test_after_a_yes_to_what_was_searched_from_one_goes_on_to_the_hits(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.label("example")
        visit.row(0)
        visit.press("s")
        visit.page.locator("#tab-found b:not(:empty)").wait_for()
        visit.press("y")
        visit.page.locator(SHOWN.format(1)).wait_for()
        visit.press("y")
        visit.page.locator(SHOWN.format(2)).wait_for()
        visit.page.locator("#labels .count.yes", has_text="2").wait_for()
        assert visit.errors == []


def test_undo_goes_back_to_the_window_that_it_is_about(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.label("mistaken")
        visit.row(0)
        visit.press("s")
        visit.page.locator("#tab-found b:not(:empty)").wait_for()
        visit.press("yyn")
        visit.page.locator(SHOWN.format(3)).wait_for()
        visit.press("z")
        visit.wait("Taken back", "#saved")
        visit.page.locator(SHOWN.format(2)).wait_for()
        visit.press("y")
        visit.page.locator("#labels .count.yes", has_text="3").wait_for()
        judged = visit.page.locator("#list .entry span.verdict.yes")
        judged.nth(1).wait_for()  # the list is read behind the counts
        assert judged.count() == 2
        assert visit.errors == []


def test_a_search_by_a_file_opens_its_best_hit(browser: Browser, link: str, sounds: Path) -> None:
    with visiting(browser, link) as visit:
        visit.row(0)
        visit.page.set_input_files("#file", str(sounds / "bird_song.ogg"))
        visit.wait("Like bird_song.ogg", "#list-note")
        visit.page.locator(SHOWN.format(1)).wait_for()
        visit.wait("bird_song", "#sound-name")
        assert visit.errors == []


def test_a_page_that_is_opened_again_asks_about_the_label_of_before(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        for name in ("zebra finch", "avocet"):
            visit.label(name)
            visit.row(0)
            visit.press("y")
            visit.wait(f"Saved: {name}", "#saved")
        visit.page.locator("#labels .label", has_text="zebra finch").click()
        visit.page.reload()
        visit.page.wait_for_selector("body[data-ready]")
        visit.row(0)
        visit.wait("Is it zebra finch?", "#say-what")


def test_without_a_no_there_is_nothing_to_train_and_the_page_says_what_lacks(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.label("only yes")
        visit.row(0)
        visit.press("y")
        visit.page.click("#step-train")
        visit.wait("only yes has no “no” yet", "#train-needs")
        assert visit.page.locator("#train").is_disabled()
        visit.row(1)
        visit.press("n")
        visit.page.locator("#train:enabled").wait_for()
        assert visit.errors == []
