"""The spectrogram and the map under fingers, on a screen of 390 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.explore.browser.visits import NARROW, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession

VIEW = """() => {
  const words = document.getElementById("strip-overlay").getAttribute("aria-label");
  const times = [...words.matchAll(/(\\d+):([\\d.]+)/g)].map(([, minutes, seconds]) => 60 * minutes + Number(seconds));
  return times.slice(0, 2);
}"""
PITCHES = (
    "[...document.querySelectorAll('#overlay .axis')].map((text) => text.textContent).filter((text) => /Hz/.test(text))"
)
Place = tuple[float, float]


class Hand:
    """Fingers on an element; places are shares of its width and height."""

    def __init__(self, wire: CDPSession, box: dict[str, float]) -> None:
        self._wire, self._box = wire, box

    def _send(self, kind: str, places: list[Place]) -> None:
        left, top, wide, high = (self._box[name] for name in ("x", "y", "width", "height"))
        points = [
            {"x": left + wide * across, "y": top + high * down, "id": finger}
            for finger, (across, down) in enumerate(places)
        ]
        self._wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def move(self, begin: list[Place], end: list[Place], hold: Any = None) -> None:
        """Put fingers down, call ``hold``, move them in some steps, and lift them."""
        self._send("touchStart", begin)
        if hold is not None:
            hold()
        for step in range(1, 6):
            between = [
                (a + (c - a) * step / 5, b + (d - b) * step / 5) for (a, b), (c, d) in zip(begin, end, strict=True)
            ]
            self._send("touchMove", between)
        self._send("touchEnd", [])


def test_fingers_move_zoom_mark_and_play_the_spectrogram(browser: Browser, link: str) -> None:
    with visiting(browser, link, NARROW, touch=True) as visit:
        visit.page.tap(".views [data-view=list]")
        visit.page.locator("#list .entry", has_text="bird_song").tap()
        visit.page.wait_for_selector("#picture[src]")
        visit.wait("Hold, then drag", "#stretch-said")
        visit.page.tap("#show-whole")
        box: Any = visit.page.locator("#viewer").bounding_box()
        hand = Hand(visit.page.context.new_cdp_session(visit.page), box)
        whole = visit.page.evaluate(VIEW)
        assert whole[0] == 0

        hand.move([(0.4, 0.5), (0.6, 0.5)], [(0.1, 0.5), (0.9, 0.5)])  # a fifth spans four fifths now
        assert visit.page.evaluate(VIEW) == pytest.approx([0.375 * whole[1], 0.625 * whole[1]], abs=0.1)
        hand.move([(0.8, 0.5)], [(0.4, 0.5)])  # one finger moves
        assert visit.page.evaluate(VIEW) == pytest.approx([0.475 * whole[1], 0.725 * whole[1]], abs=0.1)
        hand.move([(0.1, 0.5), (0.9, 0.5)], [(0.4, 0.5), (0.6, 0.5)])
        assert visit.page.evaluate(VIEW) == whole  # no further than there is sound
        before = visit.page.evaluate(PITCHES)
        hand.move([(0.5, 0.4), (0.5, 0.6)], [(0.5, 0.1), (0.5, 0.9)])  # one above the other: frequencies
        assert visit.page.evaluate(VIEW) == whole
        assert visit.page.evaluate(PITCHES) != before

        marking = lambda: visit.page.wait_for_selector("#viewer.marking")  # noqa: E731 (a held finger)
        hand.move([(0.2, 0.5)], [(0.5, 0.5)], hold=marking)
        visit.wait(f"Marked 0:{0.2 * whole[1]:05.2f}"[:-1], "#stretch-said")
        visit.page.wait_for_selector("#viewer:not(.marking)")
        hand.move([(0.5, 0.5)], [(0.5, 0.5)])  # a tap plays from there, and lets go of what was marked
        visit.wait("Hold, then drag", "#stretch-said")
        assert visit.played_s() > 0
        assert visit.errors == []


def test_two_fingers_zoom_the_map_and_one_moves_it(browser: Browser, link: str) -> None:
    with visiting(browser, link, NARROW, touch=True) as visit:
        box: Any = visit.page.locator("#map").bounding_box()
        hand = Hand(visit.page.context.new_cdp_session(visit.page), box)
        camera = "({ ...axlstmMap.scatter.camera })"
        before = visit.page.evaluate(camera)
        hand.move([(0.4, 0.5), (0.6, 0.5)], [(0.2, 0.5), (0.8, 0.5)])
        zoomed = visit.page.evaluate(camera)
        assert 2.5 < zoomed["zoom"] / before["zoom"] < 3.5
        hand.move([(0.5, 0.5)], [(0.7, 0.5)])
        moved = visit.page.evaluate(camera)
        assert moved["x"] < zoomed["x"]
        assert moved["zoom"] == zoomed["zoom"]
        assert visit.page.locator("#sound.empty").count() == 1  # neither was a click
        assert visit.errors == []
