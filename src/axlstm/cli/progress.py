"""Show a command's progress on stderr: a bar on a terminal, elsewhere a plain line every ten seconds and at the end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows how far a command is. It is entered with ``with``, and shows one stage at a time.

    Args:
        label: names the first stage; without one, nothing is shown before `stage` or `update` names a stage.
        total: number of parts of the first stage; None where it is not known.
    """

    def __init__(self, label: str = "", total: float | None = None) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bar: Bar | None = None
        self._line_at = time.monotonic()  # when the last plain line was printed
        self._changed = False  # since then
        self._label, self._total = label, total
        self._done, self._note = 0.0, ""
        self._start: tuple[float, float] | None = None  # time and parts done at the first update of the stage

    def __enter__(self) -> Self:
        if self._label:
            self.stage(self._label, self._total)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop_bar()
        if self._changed:
            self._print_line()

    def stage(self, label: str, total: float | None = None) -> None:
        """Begin another stage; the bar of the one before stays on the terminal."""
        self._stop_bar()
        self._label, self._total, self._done, self._note, self._start = label, total, 0.0, "", None
        if self._console.is_interactive:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            text, note = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[note]"))
            columns = (text, BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn(), note)
            self._bar = Bar(*columns, console=self._console)
            self._bar.add_task(label, total=total, note="")
            self._bar.start()

    def advance(self, parts: float = 1) -> None:
        """Count more parts of the stage as done."""
        self.update(self._done + parts)

    def update(self, done: float, total: float | None = None, note: str = "", label: str | None = None) -> None:
        """Show how many parts of a stage are done.

        Args:
            done: parts that are done, of all.
            total: number of parts; None leaves it as it was.
            note: text behind the numbers, such as a loss; an empty text leaves it as it was.
            label: begins a stage of that name unless the stage has it already.
        """
        if label is not None and label != self._label:
            self.stage(label, total)
        self._done, self._total, self._note = done, self._total if total is None else total, note or self._note
        self._start = self._start or (time.monotonic(), done)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=self._total, note=self._note)
            return
        self._changed = True
        if time.monotonic() - self._line_at >= SECONDS_BETWEEN_LINES:
            self._print_line()

    def on_progress(self, stage: str, done: float, total: float) -> None:
        """Show a stage; a callback for functions that name their stages."""
        self.update(done, total, label=stage)

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _print_line(self) -> None:
        count = f"{self._done:.0f}" if self._total is None else f"{self._done:.0f}/{self._total:.0f}"
        print("  ".join(filter(None, (self._label, count, self._note, self._time_left()))), file=sys.stderr, flush=True)
        self._line_at, self._changed = time.monotonic(), False

    def _time_left(self) -> str:
        if self._start is None or self._total is None or not self._start[1] < self._done < self._total:
            return ""
        began, first = self._start
        seconds = (time.monotonic() - began) / (self._done - first) * (self._total - self._done)
        return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d} left"
