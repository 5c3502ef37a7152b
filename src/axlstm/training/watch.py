"""Warn when the processes of a run wait for one that does not go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
_PATIENCE_STEPS = 10.0  # of the longest time between two notes so far


@contextmanager
def watch_progress(processes: int, step: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that notes the end of a step; warn while none is noted for long. One process is not watched.

    ``step`` is the one that a run is resumed from. Processes wait for each other without an end in sight: one that is
    stopped, and not ended, stops all.
    """
    if processes == 1:
        yield lambda _: None
        return
    watch, ended = _Watch(step), Event()

    def run() -> None:
        while not ended.wait(PATIENCE_SECONDS / 10):
            watch.tell()

    thread = Thread(target=run, name="axlstm-watch", daemon=True)
    thread.start()
    try:
        yield watch.note
    finally:
        ended.set()
        thread.join()


class _Watch:
    def __init__(self, step: int) -> None:
        self._step, self._since, self._longest, self._told = step, time.monotonic(), 0.0, 0.0

    def note(self, step: int) -> None:
        now = time.monotonic()
        self._longest = max(self._longest, now - self._since)
        self._step, self._since, self._told = step, now, 0.0

    def tell(self) -> None:
        """Warn, and again whenever the wait has doubled."""
        waited = time.monotonic() - self._since
        if waited < max(PATIENCE_SECONDS, _PATIENCE_STEPS * self._longest, 2 * self._told):
            return
        self._told = waited
        logger.warning(
            "nothing has been finished for %.0f s since step %d: another process of the run may be stopped, or take "
            "this long to validate or save. If it is stopped, let it go on, or end all and run the same command again",
            *(waited, self._step),
        )
