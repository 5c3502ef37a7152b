"""Time competitors on a noisy machine: they take turns, and medians are compared beside their spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """The seconds of one competitor's repeated runs."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median of the runs, in seconds."""
        return statistics.median(self.seconds)


def take_turns(runs: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, Timing]:
    """Time each competitor once a round, after one run of each that does not count."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def ratios(timings: dict[str, Timing], name: str, baseline: str) -> tuple[float, float, float]:
    """Return how many times faster ``name`` is than ``baseline``, round by round: lowest, median, highest."""
    paired = [slow / fast for slow, fast in zip(timings[baseline].seconds, timings[name].seconds, strict=True)]
    return min(paired), statistics.median(paired), max(paired)
