"""What to label next is suggested, in each of the ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.explore.browser.visits import visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WAYS = {
    "margin": "least certain",
    "quantile": "from all scores",
    "diversity": "uncertain and different",
    "random": "at random",
}
ROWS = "[...document.querySelectorAll('#list .entry')].map((entry) => Number(entry.id.replace('entry-', '')))"


def test_each_way_suggests_windows_that_nothing_is_said_about(browser: Browser, link: str) -> None:
    found = {}
    with visiting(browser, link) as visit:
        visit.label("bass drum")
        for kind, key in (("kick", "y"), ("snare", "n")):
            visit.page.fill("#recordings-like", kind)
            visit.page.locator("#list .entry", has_text=kind).nth(3).wait_for()
            visit.page.locator("#list .entry").first.click()
            for _ in range(4):
                visit.press(key)
        visit.page.locator("#labels .count.no", has_text="4").wait_for()
        assert list(WAYS) == visit.page.evaluate(
            "[...document.getElementById('suggest-by').options].map((one) => one.value)"
        )
        for way, told in WAYS.items():
            visit.page.select_option("#suggest-by", way)
            visit.page.click("#suggest")
            visit.wait(f"bass drum: {told}", "#list-note")
            visit.page.locator("#tab-next b", has_text="20").wait_for()
            assert visit.page.locator("#list .entry").count() == 20
            assert visit.page.locator("#list .entry span.verdict:not(:empty)").count() == 0
            visit.page.locator("#list .entry:first-child[aria-selected=true]").wait_for()
            found[way] = visit.page.evaluate(ROWS)
        assert len({tuple(rows) for rows in found.values()}) == len(WAYS)
        first = found["random"][0]
        visit.press("y")
        visit.wait("Saved: bass drum", "#saved")
        visit.page.locator(f"#entry-{first} span.verdict.yes").wait_for()
        visit.page.locator("#list .entry:nth-child(2)[aria-selected=true]").wait_for()  # on to the next
        assert visit.errors == []


def test_what_is_lacking_for_a_suggestion_is_said(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.label("heard once")
        visit.wait("Say yes to one sound first", "#suggest-needs")
        assert visit.page.locator("#suggest").is_disabled()
        visit.row(0)
        visit.press("y")
        visit.wait("Saved: heard once", "#saved")
        visit.page.click("#suggest")
        visit.wait("no window is a no for heard once", "#list-note")
        assert visit.errors == []
