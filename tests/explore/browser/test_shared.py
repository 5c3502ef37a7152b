"""Several write at once: tabs, the command line; and the server may go away."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from axlstm.collection.collection import open as open_collection
from axlstm.samples import sample_path
from tests.explore.browser.visits import COMMAND, serving, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route


def test_labels_of_another_tab_and_of_the_command_line_are_shown(browser: Browser, drums: Path) -> None:
    with serving(str(drums)) as link, visiting(browser, link) as one, visiting(browser, link) as other:
        one.label("wren")
        one.row(0)
        one.press("y")
        one.wait("Saved: wren", "#saved")
        other.wait("wren", "#labels")
        other.row(1)
        other.press("n")
        other.wait("Saved: wren", "#saved")
        subprocess.run(
            [*COMMAND, "label", "add", str(drums), "bird_song.ogg", "robin"], check=True, capture_output=True
        )
        for tab in (one, other):
            tab.wait("robin", "#labels")
            tab.page.locator("#labels .label", has_text="wren").locator(".count.no", has_text="1").wait_for()
            assert tab.errors == []


def test_saved_is_said_only_when_the_server_has_said_so(browser: Browser, link: str) -> None:
    with visiting(browser, link) as visit:
        visit.label("told when saved")
        visit.row(0)
        visit.press("y")
        visit.wait("Saved: told when saved", "#saved")
        visit.page.route("**/api/labels", lambda route: route.abort())
        visit.row(1)
        visit.press("y")
        visit.wait("Not saved", "#saved")
        visit.wait("The server does not answer", "#notice")
        visit.page.unroute("**/api/labels")
        assert len(visit.ask("labels?label=told when saved")) == 1


def test_an_undo_that_did_not_arrive_can_be_asked_again_and_the_page_rests_afterwards(
    browser: Browser, drums: Path
) -> None:
    with serving(str(drums)) as link, visiting(browser, link) as visit:
        visit.label("wren")
        visit.page.uncheck("#advance")
        for row in (0, 20):
            visit.row(row)
            visit.press("y")
            visit.wait("Saved: wren", "#saved")
        visit.press("y")
        visit.wait("That was said already", "#saved")
        visit.page.route("**/api/labels/undo", lambda route: route.abort())
        visit.press("z")
        visit.wait("The server does not answer", "#notice")
        visit.page.unroute("**/api/labels/undo")
        visit.press("z")
        visit.wait("Taken back: 1 label", "#saved")
        with visit.page.expect_response("**/api/changes*"):
            pass
        visit.page.wait_for_timeout(1500)
        asked = sum("/api/about" in url for url in visit.requests)
        for _ in range(3):
            with visit.page.expect_response("**/api/changes*"):
                pass
        assert sum("/api/about" in url for url in visit.requests) == asked
        assert visit.errors == []
    with open_collection(drums) as collection:
        rows = collection.tables.execute("SELECT undone_at IS NULL FROM labels ORDER BY id").fetchall()
        assert [bool(row[0]) for row in rows] == [True, False]


def test_a_job_whose_end_is_seen_when_another_runs_is_ended_all_the_same(browser: Browser, drums: Path) -> None:
    with serving(str(drums)) as link, visiting(browser, link) as visit:
        jobs = [{"id": 7, "kind": "map", "title": "", "state": "running", "share": 0.5, "note": "", "error": ""}]

        def answer(route: Route) -> None:
            asked = parse_qs(urlsplit(route.request.url).query).get("number", ["8"])[0]
            state = "done" if asked == "7" else "running"
            route.fulfill(json={"job": {**jobs[0], "id": int(asked), "state": state, "result": {}}})

        visit.page.route("**/api/job?*", answer)
        visit.page.route("**/api/job", answer)
        visit.page.route("**/api/detect", lambda route: route.fulfill(json={"job": jobs[0]}))
        visit.page.evaluate("() => { document.getElementById('step-run').click(); run.disabled = false; }")
        visit.page.click("#run")
        visit.page.locator("#run:enabled").wait_for()
        assert visit.page.is_hidden("#job")


def test_a_job_that_failed_before_the_page_was_opened_says_why(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    shutil.copy(sample_path("bird_song"), tmp_path / "sounds")
    with serving(str(tmp_path / "sounds"), "-m", str(tmp_path / "gone.safetensors")) as link:
        time.sleep(2)
        with visiting(browser, link) as visit:
            visit.wait("gone.safetensors", "#notice")
