"""Tell what labels say about windows: the rules of overlap, in one place.

1. A later label of a name replaces an earlier one of the same stretch, and a later no replaces all earlier ones inside
   its stretch.
2. A yes or unsure counts for a window if they overlap by more than half of the shorter of the two. One that no window
   overlaps so far counts for those that it overlaps most. So each one counts for a window, and one that was given to a
   window does not count for the next, half a window on.
3. A no counts for a window if the stretches of all noes together cover it: a second without a wren says nothing about
   the four seconds around it.
4. Where several count for a window, yes comes before unsure, and unsure before no.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from axlstm.options import Verdict

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

SAME_S = 0.01
"""Bounds that differ by less are the same; other programs round them."""

_ROUNDING_S = 1e-6


class Statement(NamedTuple):
    """A verdict of a label about a stretch of a recording."""

    start_s: float
    end_s: float
    verdict: Verdict


def in_force(statements: Sequence[Statement]) -> list[Statement]:
    """Leave out the statements that a later one replaces.

    Args:
        statements: of one label in one recording, in the order in which they were made.
    """
    starts = np.array([one.start_s for one in statements])
    ends = np.array([one.end_s for one in statements])
    order = np.argsort(starts, kind="stable")
    ordered = starts[order]
    counts = np.ones(len(statements), dtype=bool)
    for index, (start_s, end_s, verdict) in enumerate(statements):
        latest_s = end_s if verdict == "no" else start_s + SAME_S
        near = order[np.searchsorted(ordered, start_s - SAME_S) : np.searchsorted(ordered, latest_s, side="right")]
        inside = ends[near] <= end_s + SAME_S
        same = (np.abs(starts[near] - start_s) < SAME_S) & (np.abs(ends[near] - end_s) < SAME_S)
        counts[near[(near < index) & (inside if verdict == "no" else same)]] = False
    return [one for one, is_counted in zip(statements, counts, strict=True) if is_counted]


def windows_of_stretch(
    start_s: NDArray[np.float64], end_s: NDArray[np.float64], begin_s: float, stop_s: float
) -> NDArray[np.int64]:
    """List the windows ``(n,)`` of a recording, in the order of time, that a label on a stretch counts for."""
    first, last = np.searchsorted(end_s, begin_s, side="right"), np.searchsorted(start_s, stop_s)
    near = np.arange(first, last)
    if not len(near):
        return near
    overlap = np.minimum(end_s[near], stop_s) - np.maximum(start_s[near], begin_s)
    shorter = np.minimum(end_s[near] - start_s[near], stop_s - begin_s)
    enough = overlap > shorter / 2 + _ROUNDING_S
    return near[enough] if enough.any() else near[overlap >= overlap.max() - _ROUNDING_S]


def judge_windows(
    start_s: NDArray[np.float64], end_s: NDArray[np.float64], statements: Sequence[Statement]
) -> dict[Verdict, NDArray[np.bool_]]:
    """Tell for which windows ``(n,)`` of a recording a label says yes, no and unsure; never two of them.

    Args:
        start_s, end_s: in the order of time.
        statements: as `in_force` takes them.
    """
    counting = in_force(statements)
    found = {verdict: np.zeros(len(start_s), dtype=bool) for verdict in VERDICTS}
    for begin_s, stop_s, verdict in counting:
        if verdict != "no":
            found[verdict][windows_of_stretch(start_s, end_s, begin_s, stop_s)] = True
    found["unsure"] &= ~found["yes"]
    covered = _covered(start_s, end_s, [one for one in counting if one.verdict == "no"])
    found["no"] = covered & ~found["yes"] & ~found["unsure"]
    return found


def _covered(
    start_s: NDArray[np.float64], end_s: NDArray[np.float64], statements: Sequence[Statement]
) -> NDArray[np.bool_]:
    """Tell which windows lie inside the union of stretches."""
    covered = np.zeros(len(start_s), dtype=bool)
    joined: list[list[float]] = []
    for begin_s, stop_s, _ in sorted(statements):
        if joined and begin_s <= joined[-1][1] + SAME_S:
            joined[-1][1] = max(joined[-1][1], stop_s)
        else:
            joined.append([begin_s, stop_s])
    for begin_s, stop_s in joined:
        covered |= (start_s >= begin_s - SAME_S) & (end_s <= stop_s + SAME_S)
    return covered
