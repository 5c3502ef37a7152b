"""The page for reading: one file, without a server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from axlstm.cli import main
from axlstm.collection.collection import create
from axlstm.samples import sample_path
from tests.explore.browser.visits import visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_a_page_for_reading_says_when_a_window_begins_and_asks_no_server(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds, made, out = tmp_path / "sounds", tmp_path / "birds.collection", tmp_path / "birds.html"
    sounds.mkdir()
    shutil.copy(sample_path("bird_song"), sounds)
    (tmp_path / "times.csv").write_text("path,recorded_at\n.,2024-05-01T23:59:58+02:00\n", encoding="utf-8")
    with create(made, sounds) as collection:
        collection.index([sounds], model="logmel", window_s=1, metadata=tmp_path / "times.csv")
        collection.label("bird_song.ogg", "bird", 5, 6)
    assert main(["explore", str(made), "--export", str(out)]) == 0
    capsys.readouterr()
    with visiting(browser, out.as_uri()) as visit:
        visit.list("labelled")
        visit.page.locator("#list .entry").first.click()
        visit.page.locator("#sound-facts", has_text="2024-05-02 00:00:03.000+02:00").wait_for()
        for key in "ynuzs":
            visit.page.keyboard.press(key)
        assert visit.page.inner_text("#saved") == ""
        assert visit.page.inner_text("#notice") == ""
        assert visit.errors == []
