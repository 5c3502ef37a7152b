"""Time the whole page in a browser: its first view, frames while the map moves, bytes of the map, memory of the server.

python -m benchmarks explore-page [--windows 200000] [--folder FOLDER]
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from axlstm.collection.collection import open as open_collection
from axlstm.collection.labels.table import Label, add_labels
from benchmarks.explore import make_large, memory_of, processor_seconds, read_link
from benchmarks.machine import describe_machine
from benchmarks.report import save

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
_SIZE: Any = {"width": 1280, "height": 800}
_LABELS = 300
_DRAWN = """() => window.axlstmMap?.scatter.frames > 0 && axlstmMap.scatter.codes.length > 0 &&
  !document.getElementById("map-bar").hidden"""
# Moves the map in each frame for some seconds, by the events of a mouse, and gives the frames that were drawn of it.
_MOVE = """([kind, seconds]) => new Promise((done) => {
  const [map, scatter] = [document.getElementById("map"), axlstmMap.scatter];
  const box = map.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const [begun, drawn, gaps] = [performance.now(), scatter.frames, []];
  const send = (name, more) => map.dispatchEvent(new PointerEvent(name, { pointerId: 1, bubbles: true, ...more }));
  let [step, last] = [0, begun];
  if (kind === "pan") send("pointerdown", { clientX: x, clientY: y });
  const move = (now) => {
    step += 1;
    gaps.push(now - last);
    last = now;
    const place = { clientX: x + 90 * Math.sin(step / 15), clientY: y + 60 * Math.cos(step / 15) };
    if (kind === "pan") send("pointermove", place);
    else map.dispatchEvent(new WheelEvent("wheel", { deltaY: 60 * Math.sign(Math.sin(step / 20)), ...place }));
    if (now - begun < 1000 * seconds) return requestAnimationFrame(move);
    if (kind === "pan") send("pointerup", place);
    gaps.sort((one, other) => one - other);
    done([scatter.frames - drawn, (now - begun) / 1000, gaps[Math.floor(0.95 * gaps.length)]]);
  };
  requestAnimationFrame(move);
})"""


def explore_page(
    windows: int = 200_000,
    minutes: float = 20.0,
    starts: int = 5,
    seconds: float = 4.0,
    folder: Path | None = None,
) -> int:
    """Open the page several times, and move its map, with labels and hits on it.

    Args:
        windows: of the collection.
        minutes: of mixtures that windows are made of.
        starts: of the server, each with a tab that has nothing in its cache.
        seconds: of each move.
        folder: keeps the collection for the next run; it is copied before anything is labelled.
    """
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        kept = make_large(folder or Path(temporary), windows, minutes)
        collection = Path(shutil.copytree(kept, Path(temporary) / "copy.collection"))
        _label(collection)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        runs = [_open(browser, collection, seconds) for _ in range(starts)]
        version = browser.version
        browser.close()
    found = {name: median(run[name] for run in runs) for name in runs[0]}
    save(
        "explore_page", {"machine": describe_machine(), "chromium": version, "windows": windows, **found, "runs": runs}
    )
    return 0


def _label(collection: Path) -> None:
    """Give labels to windows all over the collection, whose shapes are drawn on the map."""
    with open_collection(collection) as opened:
        recordings = [row["id"] for row in opened.tables.execute("SELECT id FROM recordings ORDER BY id")]
        places = np.linspace(0, len(recordings) - 1, _LABELS).astype(int)
        said = [
            Label(recordings[place], 0, 4, "wren", ("yes", "no", "unsure")[at % 3]) for at, place in enumerate(places)
        ]
        add_labels(opened, [(label, "benchmark", "benchmark") for label in said])


def _open(browser: Browser, collection: Path, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "axlstm", "explore", str(collection), "--port", "0"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        context = browser.new_context(viewport=_SIZE)
        try:
            home, token = read_link(process)
            link_s = time.perf_counter() - began
            page = context.new_page()
            received = _listen(page)
            page.goto(f"{home}/?token={token}")
            page.wait_for_function(_DRAWN)
            view_s = time.perf_counter() - began
            viewed = {"server_cpu_s": processor_seconds(process.pid), **memory_of(process.pid)}
            frames = _move(page, seconds)
            run = {"link_s": link_s, "first_view_s": view_s, **viewed, "map_bytes": received["map"], **frames}
        finally:
            context.close()
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
    print(json.dumps(run), flush=True)
    return run


def _listen(page: Page) -> dict[str, int]:
    """Count the bytes of the map as they come over the wire, once it has come."""
    wire, received, maps = page.context.new_cdp_session(page), {"map": 0}, set[str]()

    def begin(event: dict[str, Any]) -> None:
        if event["request"]["url"].endswith("/api/map"):
            maps.add(event["requestId"])

    def end(event: dict[str, Any]) -> None:
        if event["requestId"] in maps:
            received["map"] += int(event["encodedDataLength"])

    wire.on("Network.requestWillBeSent", begin)
    wire.on("Network.loadingFinished", end)
    wire.send("Network.enable")
    return received


def _move(page: Page, seconds: float) -> dict[str, float]:
    """Search, so that hits are on the map, and move it."""
    page.locator("#list .entry").first.click()
    page.wait_for_selector("#sound[data-row]")
    page.click("#find-this")
    page.get_by_text("the best 50").wait_for()
    found: dict[str, float] = {}
    for kind in ("pan", "zoom"):
        frames, took_s, gap_ms = page.evaluate(_MOVE, [kind, seconds])
        found |= {f"{kind}_frames_a_second": frames / took_s, f"{kind}_gap_95_ms": gap_ms}
    return found
