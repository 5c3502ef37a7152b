"""Run ``axlstm explore`` and look at its page: the server, and a visitor that notes requests and errors."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COMMAND = [sys.executable, "-m", "axlstm"]
WIDE, NARROW = (1280, 800), (390, 844)


@contextmanager
def serving(*arguments: str, port: int = 0) -> Iterator[str]:
    """Run ``axlstm explore ARGUMENTS`` at a port, or a free one; gives the link that it prints."""
    command = [*COMMAND, "explore", *arguments, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if found := re.search(r"http://\S+", line):
                    yield found[0]
                    break
            else:
                raise AssertionError(f"no link was printed: {lines}")
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@dataclass
class Visit:
    """A tab of the browser on the page, with what happened in it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        """Return the hosts that the page has asked for something."""
        return {urlsplit(url).hostname or "" for url in self.requests if not url.startswith(("blob:", "data:"))}

    def row(self, number: int) -> None:
        """Click a window on the map, and wait until it is the current one."""
        x, y = self.page.evaluate("row => axlstmMap.toCanvas(row)", number)
        self.page.locator("#map").click(position={"x": x, "y": y})
        self.page.wait_for_selector(f"#sound[data-row='{number}']")

    def press(self, keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def played_s(self) -> float:
        """Wait until some of a sound was played, and return how much."""
        played: float = self.page.evaluate(
            """() => new Promise((done) => {
              const look = () => (audio.currentTime > 0 ? done(audio.currentTime) : requestAnimationFrame(look));
              setTimeout(() => done(0), 20000);
              look();
            })"""
        )
        return played

    def ask(self, path: str) -> Any:
        """Return the server's answer, as the page may ask for it."""
        return self.page.evaluate("path => fetch(`/api/${path}`).then((answer) => answer.json())", path)

    def list(self, name: str) -> None:
        """Open a list."""
        self.page.click(f"#tab-{name}")

    def label(self, name: str) -> None:
        """Write a new label."""
        self.page.fill("#label-name", name)
        self.page.keyboard.press("Enter")

    def wait(self, text: str, within: str = "body", timeout_ms: int = 30_000) -> None:
        """Wait until a text is shown."""
        self.page.locator(within).get_by_text(text).first.wait_for(timeout=timeout_ms)


@contextmanager
def visiting(
    browser: Browser,
    link: str,
    size: tuple[int, int] = WIDE,
    scheme: str = "light",
    touch: bool = False,
    routes: dict[str, Any] | None = None,
) -> Iterator[Visit]:
    """Open the page in a tab of its own, and wait until it is ready.

    Args:
        scheme: light or dark, as the system would say.
        touch: whether the screen takes fingers.
        routes: answers in place of the server's, by patterns of addresses.
    """
    options: Any = {"viewport": {"width": size[0], "height": size[1]}, "color_scheme": scheme, "accept_downloads": True}
    context = browser.new_context(**options, has_touch=touch, is_mobile=touch)
    page = context.new_page()
    visit = Visit(page)
    page.on("request", lambda request: visit.requests.append(request.url))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("dialog", lambda dialog: (visit.errors.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    for pattern, answer in (routes or {}).items():
        page.route(pattern, answer)
    try:
        page.goto(link)
        page.wait_for_selector("body[data-ready]", timeout=30_000)
        yield visit
    finally:
        page.unroute_all(behavior="ignoreErrors")
        context.close()
