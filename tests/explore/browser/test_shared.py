"""Several write at once: tabs, the command line; and the server may go away."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.explore.browser.visits import COMMAND, serving, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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
