"""Join the windows in which a label is heard to segments.

The probability of a label at a moment is the highest of all windows that the moment lies in. A segment is a longest
stretch of moments at or above the low threshold, if some moment in it is at or above the high one (hysteresis, as
Canny (1986) has it for edges). So each window at or above the high threshold lies in a segment, and no segment is
without such a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import ConfigError

_ROUNDING_S = 1e-6  # of sums of seconds, which float64 does not have exactly
LOW_SHARE = 0.5
"""The low threshold, as a share of the high one, where none is given."""


class Segment(NamedTuple):
    """A stretch of a recording in which a label, given by its number, is heard.

    The score is the highest probability in it.
    """

    start_s: float
    end_s: float
    label: int
    score: float


@dataclass(frozen=True, eq=False)
class Rule:
    """The rule for segments: high and low thresholds of each label ``(L,)`` float32.

    Segments with at most ``gap_s`` seconds between them become one. Those shorter than ``least_s`` are none.
    """

    high: NDArray[np.float32]
    low: NDArray[np.float32]
    gap_s: float = 0.0
    least_s: float = 0.0

    def long_enough(self, segments: Sequence[Segment]) -> list[Segment]:
        """Return the segments that are not too short."""
        return [one for one in segments if one.end_s - one.start_s >= self.least_s - _ROUNDING_S]


def make_rule(
    thresholds: Sequence[float] | NDArray[np.float64],
    threshold: float | None = None,
    low: float | None = None,
    gap_s: float = 0.0,
) -> Rule:
    """Choose the thresholds of segments.

    Args:
        thresholds: of a classifier's labels.
        threshold: of all labels, in their place.
        low: of all labels; None is half of the high threshold.

    Raises:
        ConfigError: a threshold outside of 0 to 1, a low one above a high one, or a gap below zero.
    """
    for name, value in (("threshold", threshold), ("low", low)):
        if value is not None and not 0 < value <= 1:
            raise ConfigError(f"{name}={value:g}: expected a probability above 0, up to 1")
    if not 0 <= gap_s < np.inf:
        raise ConfigError(f"gap_s={gap_s:g}: expected seconds from 0 on")
    high = np.asarray(thresholds if threshold is None else [threshold] * len(thresholds), np.float32)
    if low is not None and (high < np.float32(low)).any():
        raise ConfigError(f"low={low:g}: above a threshold, {high.min():g}; expected at most that")
    return Rule(high, LOW_SHARE * high if low is None else np.full_like(high, low), gap_s)


class Segmenter:
    """Joins windows of one recording to segments, as they come in the order of time."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._reach_s = rule.gap_s + _ROUNDING_S
        self._runs: dict[int, Segment] = {}  # by label: the latest stretch above the low threshold, which may go on
        self._kept: dict[int, Segment] = {}  # by label: the latest segment, which the next one may be joined to

    def add(
        self, start_s: NDArray[np.float64], end_s: NDArray[np.float64], probabilities: NDArray[np.float32]
    ) -> list[Segment]:
        """Take in windows, and return the segments that nothing can be joined to any more.

        Args:
            start_s, end_s: of the windows ``(n,)``, neither of which ever goes back.
            probabilities: of the labels ``(n, L)``.
        """
        if not len(start_s):
            return []
        is_low = probabilities >= self._rule.low  # (n, L)
        closed: list[Segment] = []
        for label in sorted({*np.flatnonzero(is_low.any(axis=0)).tolist(), *self._runs, *self._kept}):
            windows = np.flatnonzero(is_low[:, label])
            for run in _join(start_s[windows], end_s[windows], label, probabilities[windows, label]):
                closed += self._add_run(run)
            closed += self._close(label, float(start_s[-1]))
        return sorted(closed)

    def finish(self) -> list[Segment]:
        """Return the segments that are left when the recording has ended."""
        return sorted(segment for label in {*self._runs, *self._kept} for segment in self._close(label, float("inf")))

    def _add_run(self, run: Segment) -> list[Segment]:
        """Join a stretch above the low threshold to the latest one of its label, or let it come behind it."""
        latest = self._runs.get(run.label)
        closed: list[Segment] = []
        if latest is not None and run.start_s <= latest.end_s + _ROUNDING_S:
            run = _union(latest, run)
        elif latest is not None:
            closed = self._end_run(run.label)
        self._runs[run.label] = run
        return closed

    def _end_run(self, label: int) -> list[Segment]:
        """Keep the latest stretch as a segment if it is one, and return the segment before if they are not joined."""
        run = self._runs.pop(label)
        if run.score < self._rule.high[label]:
            return []
        before = self._kept.get(label)
        is_near = before is not None and run.start_s <= before.end_s + self._reach_s
        self._kept[label] = _union(before, run) if before is not None and is_near else run
        return [before] if before is not None and not is_near else []

    def _close(self, label: int, now_s: float) -> list[Segment]:
        """Return the segments of a label that windows from a moment on, and later ones, cannot reach."""
        closed: list[Segment] = []
        if label in self._runs and self._runs[label].end_s + _ROUNDING_S < now_s:
            closed += self._end_run(label)
        kept = self._kept.get(label)
        next_s = self._runs[label].start_s if label in self._runs else now_s
        if kept is not None and kept.end_s + self._reach_s < next_s:
            closed.append(self._kept.pop(label))
        return closed


def _join(
    start_s: NDArray[np.float64], end_s: NDArray[np.float64], label: int, probabilities: NDArray[np.float32]
) -> list[Segment]:
    """Join windows ``(m,)`` that overlap or touch."""
    if not len(start_s):
        return []
    first = np.flatnonzero(np.append(True, start_s[1:] > end_s[:-1] + _ROUNDING_S))  # of each stretch
    last = np.append(first[1:], len(start_s)) - 1
    peaks = np.maximum.reduceat(probabilities, first)
    stretches = zip(start_s[first].tolist(), end_s[last].tolist(), peaks.tolist(), strict=True)
    return [Segment(begin_s, stop_s, label, peak) for begin_s, stop_s, peak in stretches]


def _union(earlier: Segment, later: Segment) -> Segment:
    return later._replace(start_s=earlier.start_s, score=max(earlier.score, later.score))
