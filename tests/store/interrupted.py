"""Runs that end in the middle."""

from __future__ import annotations

from collections.abc import Callable


def interrupt_at(clip: int) -> Callable[[float], None]:
    """A callback for progress that raises KeyboardInterrupt at the call of this number."""
    count = 0

    def progress(_: float) -> None:
        nonlocal count
        count += 1
        if count == clip:
            raise KeyboardInterrupt

    return progress
