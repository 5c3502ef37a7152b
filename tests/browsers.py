"""One browser for all tests: two of Playwright's cannot be in one process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import soundfile

from axlstm.samples import sample_path

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


def find_chromium() -> str | None:
    """Find Debian's Chromium, or Chrome, which the machines of the workflow have."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    places = (
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    )
    found = [shutil.which(name) for name in names] + [place for place in places if Path(place).is_file()]
    return next(filter(None, found), None)
