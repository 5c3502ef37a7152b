"""A browser, and collections that are copied for each test: the real page over real sounds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import soundfile

from axlstm.collection.collection import create
from axlstm.collection.maps.draw import draw_map
from axlstm.collection.search.table import WindowTable
from axlstm.samples import sample_path, strokes
from tests.explore.browser.visits import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ARGUMENTS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
SAMPLES = ("bird_call", "bird_song", "engine_rev", "water_river")


HEARD = "bird_song"
"""The sample that the browser's microphone hears, again and again."""


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium or Chrome by Playwright; where one is missing, the test is skipped, or fails if CI is set."""
    chromium = find_chromium()
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        lacking = "the tests of the page need Playwright: pip install playwright"
    else:
        lacking = "" if chromium else "the tests of the page need Chromium: apt-get install chromium"
    if lacking:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacking)
    microphone = tmp_path_factory.mktemp("microphone") / "heard.wav"
    soundfile.write(microphone, *soundfile.read(sample_path(HEARD), dtype="int16"))
    arguments = [*ARGUMENTS, f"--use-file-for-fake-audio-capture={microphone}"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drum strokes, one folder a kit, and a few sounds that are none."""
    folder = tmp_path_factory.mktemp("heard") / "recordings"
    for stroke in strokes():
        (folder / stroke.group).mkdir(parents=True, exist_ok=True)
        shutil.copy(stroke.path, folder / stroke.group)
    for name in SAMPLES:
        shutil.copy(sample_path(name), folder)
    return folder


@pytest.fixture(scope="session")
def indexed(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of these sounds, with sites, and with its map."""
    folder = tmp_path_factory.mktemp("indexed")
    rows = ["path,site", *(f"{kit.name},{kit.name}" for kit in sounds.iterdir() if kit.is_dir())]
    (folder / "sites.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    made = folder / "drums.collection"
    with create(made, sounds) as collection:
        collection.index([sounds], model="logmel", window_s=1, metadata=folder / "sites.csv")
        draw_map(collection, WindowTable(collection, collection.encoder()))
    return made


@pytest.fixture(scope="session")
def link(indexed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a copy of the collection, for tests that do not mind what others label."""
    with serving(str(shutil.copytree(indexed, tmp_path_factory.mktemp("shared") / "drums.collection"))) as link:
        yield link


@pytest.fixture
def drums(indexed: Path, tmp_path: Path) -> Path:
    """A copy of the collection that a test may change."""
    return Path(shutil.copytree(indexed, tmp_path / "drums.collection"))


def find_chromium() -> str | None:
    """Find Debian's Chromium, or Chrome, which the machines of the workflow have."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    places = (
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    )
    found = [shutil.which(name) for name in names] + [place for place in places if Path(place).is_file()]
    return next(filter(None, found), None)
