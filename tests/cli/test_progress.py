"""Progress is a bar on a terminal, and a plain line from time to time where stderr is a file."""

from __future__ import annotations

import contextlib
import io

import pytest

from axlstm.cli import progress
from axlstm.cli.progress import SECONDS_BETWEEN_LINES, Progress


class Clock:
    """Time as the test says it is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def make_terminal(monkeypatch: pytest.MonkeyPatch, kind: str) -> Terminal:
    """A terminal in place of stderr; a fixture cannot do it, as pytest sets stderr again when the test is called."""
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    return terminal


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_file_gets_a_line_every_ten_seconds_and_at_the_end(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress("embed", 100) as shown:
        for _ in range(100):
            clock.now += SECONDS_BETWEEN_LINES / 20
            shown.advance()
    lines = lines_of(capsys)
    assert lines == [
        "embed  20/100  0:00:40 left",
        "embed  40/100  0:00:30 left",
        "embed  60/100  0:00:20 left",
        "embed  80/100  0:00:10 left",
        "embed  100/100",
    ]


def test_a_short_command_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as shown:
        for stage in ("embed a", "embed b"):
            for done in range(4):
                shown.update(done, 3, label=stage)
    assert lines_of(capsys) == ["embed b  3/3"]


def test_the_last_line_says_where_a_failing_command_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(KeyError), Progress("embed", 5) as shown:
        shown.advance(2)
        raise KeyError
    assert lines_of(capsys) == ["embed  2/5"]


def test_what_was_done_before_does_not_shorten_the_time_left(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress("embed", 1000) as shown:
        shown.advance(900)  # of an earlier run
        clock.now += SECONDS_BETWEEN_LINES
        shown.advance(10)
        assert lines_of(capsys) == ["embed  910/1000  0:01:30 left"]


def test_notes_and_unknown_totals(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("pretrain") as shown:
        shown.update(7, note="loss 0.5 [b]")
        shown.update(8)
    assert lines_of(capsys) == ["pretrain  8  loss 0.5 [b]"]


def test_nothing_to_do_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("embed", 0):
        pass
    assert lines_of(capsys) == []


def test_a_terminal_shows_bars_and_keeps_those_of_finished_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = make_terminal(monkeypatch, "xterm")
    with Progress("embed [a]", 3) as shown:
        shown.advance(3)
        shown.update(1, 2, "loss 0.25", label="probe")
    text = terminal.getvalue()
    assert "embed [a]" in text
    assert "3/3" in text
    assert "probe" in text
    assert "1/2" in text
    assert "loss 0.25" in text
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_a_terminal_without_control_codes_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = make_terminal(monkeypatch, "dumb")
    with Progress("embed", 3) as shown:
        shown.advance(3)
    assert terminal.getvalue() == "embed  3/3\n"
