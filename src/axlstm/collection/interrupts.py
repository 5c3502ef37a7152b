"""Take Ctrl-C once, and not in the middle of a write."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Raises KeyboardInterrupt at the first SIGINT, or at the end of what is held; later ones change nothing."""

    def __init__(self) -> None:
        self.asked = False
        self._held, self._owed = 0, False

    def note(self, _: int, __: FrameType | None) -> None:
        """Answer a SIGINT."""
        if self.asked:
            return
        self.asked = True
        if self._held:
            self._owed = True
        else:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put off an interruption until the block has ended.

        Raises:
            KeyboardInterrupt: it came meanwhile.
        """
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._owed and not self._held:
            self._owed = False
            raise KeyboardInterrupt


@contextmanager
def taking_interrupts() -> Iterator[Interrupts]:
    """Take SIGINT as `Interrupts` does for as long as the block lasts, where it would raise KeyboardInterrupt."""
    interrupts = Interrupts()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupts.note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
