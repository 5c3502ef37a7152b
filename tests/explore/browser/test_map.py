"""The map: its points, its lasso, its keys, and 200,000 windows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from axlstm.collection.maps.columns import Column, pack_columns
from tests.explore.browser.visits import Visit, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

MANY = 200_000
PAN = """([x, y]) => new Promise((done) => {
  const [map, scatter] = [document.getElementById("map"), axlstmMap.scatter];
  const [begun, drawn] = [performance.now(), scatter.frames];
  let step = 0;
  const move = () => {
    step += 1;
    const place = { clientX: x + 60 * Math.sin(step / 9), clientY: y + 60 * Math.cos(step / 9) };
    map.dispatchEvent(new PointerEvent("pointermove", { pointerId: 1, bubbles: true, ...place }));
    if (step < 60) requestAnimationFrame(move);
    else done([scatter.frames - drawn, performance.now() - begun]);
  };
  move();
})"""


def test_the_lasso_chooses_what_is_inside_and_searches_with_it(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.press("l")
        _drag(visit, [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)])
        count = visit.page.evaluate("axlstmMap.scatter.codes.length")
        visit.wait(f"{count} windows chosen", "#map-card")
        visit.page.locator("#tab-chosen[aria-selected=true]").wait_for()
        visit.page.click("#find-chosen")
        visit.wait("the best", "#list-note")
        visit.label("all")
        visit.page.click("[data-verdict=unsure]")
        visit.page.locator("#labels .count.unsure", has_text=str(count)).wait_for()
        assert visit.errors == []


def _drag(visit: Visit, places: list[tuple[float, float]]) -> None:
    """Drag over the map, by shares of its width and height."""
    box = visit.page.locator("#map").bounding_box()
    assert box is not None
    points = [(box["x"] + box["width"] * across, box["y"] + box["height"] * down) for across, down in places]
    visit.page.mouse.move(*points[0])
    visit.page.mouse.down()
    for point in points[1:]:
        visit.page.mouse.move(*point, steps=4)
    visit.page.mouse.up()


def test_the_map_is_worked_by_keys_alone(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.press("m")
        visit.page.keyboard.press("ArrowRight")
        visit.page.locator("#sound-name", has_text=".").wait_for()
        first = visit.page.inner_text("#map-said")
        visit.page.keyboard.press("ArrowDown")
        visit.page.locator("#map-said").filter(has_not_text=first).wait_for(state="attached")
        visit.press("g")
        visit.wait("10 windows chosen", "#map-card")
        visit.press("g")
        visit.wait("20 windows chosen", "#map-card")
        zoom = visit.page.evaluate("axlstmMap.scatter.camera.zoom")
        visit.press("m+")
        assert visit.page.evaluate("axlstmMap.scatter.camera.zoom") > zoom


def test_colours_are_told_in_words_and_a_kind_can_be_hidden(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.page.select_option("#map-by", "site")
        kinds = visit.page.locator("#map-legend .kind")
        assert {"looppool", "rumpf_kit_z01"} & set(kinds.all_inner_texts()) or kinds.count() >= 3
        kinds.first.click()
        assert kinds.first.get_attribute("aria-pressed") == "false"
        assert visit.page.locator("#map-by option[value=hour]").is_disabled()  # no recording has a time


def test_200000_windows_are_panned(browser: Browser, link: str, record_property: pytest.RecordProperty) -> None:
    def drawn(route: Route) -> None:
        real = route.fetch().body()
        header = json.loads(real[4 : 4 + int.from_bytes(real[:4], "little")])
        route.fulfill(body=_many(header["table"]), content_type="application/octet-stream")

    routes: dict[str, Any] = {"**/api/map": drawn}
    with visiting(browser, link, routes=routes) as visit:
        box = visit.page.locator("#map").bounding_box()
        assert box is not None
        middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
        visit.page.mouse.move(*middle)
        visit.page.mouse.down()
        frames, milliseconds = visit.page.evaluate(PAN, middle)
        visit.page.mouse.up()
    assert frames >= 55  # each move is drawn
    record_property("frames_per_second", 1000 * frames / milliseconds)


def _many(table: str) -> bytes:
    """A map of 200,000 made-up windows in forty heaps."""
    numbers = np.random.default_rng(0)
    heaps = numbers.uniform(0.1, 0.9, (40, 2))[np.arange(MANY) % 40]
    places = np.clip(65_534 * (heaps + numbers.normal(0, 0.03, (MANY, 2))), 0, 65_534).astype(np.uint16)
    site = (1 + np.arange(MANY) % 9).astype(np.uint8)
    columns = [
        Column("x", places[:, 0]),
        Column("y", places[:, 1]),
        Column("recording", np.ones(MANY, np.uint32)),
        Column("start_ms", np.arange(MANY, dtype=np.uint32)),
        Column("site", site, ["", *(f"site {number}" for number in range(1, 10))]),
        Column("hour", (np.arange(MANY) % 24).astype(np.uint8)),
        Column("density", (np.arange(MANY) % 256).astype(np.uint8)),
    ]
    return pack_columns(columns, {"n": MANY, "table": table})


def test_no_tip_is_left_where_the_pointer_has_gone(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        x, y = visit.page.evaluate("() => axlstmMap.toCanvas(0)")
        visit.page.locator("#map").hover(position={"x": x, "y": y})
        visit.page.locator("#map-tip").wait_for()
        visit.page.locator("#facts").hover()
        visit.page.locator("#map").hover(position={"x": x, "y": y})
        visit.page.locator("#facts").hover()
        visit.page.wait_for_timeout(600)
        assert visit.page.is_hidden("#map-tip")
        assert visit.errors == []
