"""The page at two widths, in light and dark: nothing is cut off, all can be read and reached."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from tests.explore.browser.visits import NARROW, WIDE, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

UNNAMED = """() => [...document.querySelectorAll("button, input, select, [role]")]
  .filter((element) => element.offsetParent && element.getAttribute("role") !== "tabpanel")
  .filter((element) => !(element.getAttribute("aria-label") || element.getAttribute("aria-labelledby") ||
    element.textContent.trim() || element.labels?.[0]?.textContent.trim() || element.getAttribute("aria-live") ||
    ["status", "alert"].includes(element.getAttribute("role"))))
  .map((element) => element.outerHTML.slice(0, 100))"""
COLOURS = """(names) => names.map((name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim())"""
TEXTS = ("ink", "soft", "main", "yes", "no", "unsure")
GROUNDS = ("card", "raised", "paper", "tint")


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
def test_nothing_is_cut_off_and_all_has_a_name(browser: Browser, link: str, size: tuple[int, int], scheme: str) -> None:
    with visiting(browser, link, size, scheme) as visit:
        for view in ("map", "list", "steps"):
            if size == NARROW:
                visit.page.click(f".views [data-view={view}]")
            if view == "list":
                visit.page.locator("#list .entry").first.click()
                visit.page.wait_for_selector("#picture[src]")
            assert visit.page.evaluate("document.documentElement.scrollWidth") == size[0]
            assert visit.page.evaluate(UNNAMED) == []
        assert visit.page.evaluate("document.documentElement.dataset.theme") == scheme
        texts, grounds = visit.page.evaluate(COLOURS, TEXTS), visit.page.evaluate(COLOURS, GROUNDS)
        for text in texts:
            for ground in grounds:
                assert _contrast(text, ground) >= 4.5, (scheme, text, ground)
        (main, over) = visit.page.evaluate(COLOURS, ["main", "on-main"])
        assert _contrast(main, over) >= 4.5
        assert visit.errors == []


def _contrast(one: str, other: str) -> float:
    """The contrast of two colours such as #1b2421 (WCAG 2.2, "contrast ratio")."""
    lights = sorted((_luminance(one), _luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_marks_of_verdicts_differ_by_shape_and_word_not_by_colour_alone(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        signs = [visit.page.locator(f"#say-{verdict} span").first.inner_text() for verdict in ("yes", "no", "unsure")]
        assert all(one != other for one, other in combinations(signs, 2))


def test_all_is_done_by_keyboard(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        press = visit.page.keyboard.press
        visit.press("?")
        visit.wait("undo", "#help")
        press("Escape")
        visit.page.locator("#label-name").focus()
        visit.page.keyboard.type("kick")
        press("Enter")
        press("Escape")  # out of the field
        visit.press("/")
        visit.page.keyboard.type("kick")
        visit.page.locator("#list .entry:first-child", has_text="kick").wait_for()
        press("Tab")
        press("Enter")
        visit.page.locator("#list .entry[aria-selected=true]").wait_for()
        visit.press("y")
        visit.wait("Saved: kick", "#saved")
        focus = "document.activeElement.getAttribute('role')"
        assert visit.page.evaluate(focus) == "option"  # still in the list, at the next one
        press("ArrowDown")
        visit.page.wait_for_selector("#list .entry:nth-child(3)[aria-selected=true]")
        visit.page.wait_for_selector("#strip-picture[src]", state="attached")  # the next recording is open
        visit.press("v")
        press("Shift+ArrowLeft")
        visit.wait("Marked", "#stretch-said")
        visit.press("n")
        visit.page.locator("#labels .label", has_text="kick").locator(".count.no", has_text="1").wait_for()
        visit.press("z")
        visit.wait("Taken back", "#saved")
