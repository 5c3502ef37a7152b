"""Segments as the definition says them, moment by moment; slow."""

from __future__ import annotations

from itertools import pairwise

from axlstm.collection.detections.segments import Rule, Segment

Window = tuple[float, float, list[float]]
"""Start, end, and the probability of each label."""


def find_segments(windows: list[Window], rule: Rule) -> list[Segment]:
    """Find the segments of all labels, in the order of time."""
    found = []
    for label in range(len(rule.high)):
        found += _join_near(_of_label(windows, label, rule), rule.gap_s)
    return sorted(found)


def _of_label(windows: list[Window], label: int, rule: Rule) -> list[Segment]:
    # Between two neighbouring bounds of windows nothing changes: such a step stands for all of its moments.
    bounds = sorted({bound for start_s, end_s, _ in windows for bound in (start_s, end_s)})
    segments: list[Segment] = []
    current: Segment | None = None
    for start_s, end_s in pairwise(bounds):
        if end_s - start_s <= 1e-6:  # only there because sums of seconds are rounded
            continue
        there = [chances[label] for begin_s, stop_s, chances in windows if begin_s <= start_s and end_s <= stop_s]
        at_step = max(there, default=0.0)
        if at_step >= rule.low[label]:
            if current is None:
                current = Segment(start_s, end_s, label, at_step)
            else:
                current = Segment(current.start_s, end_s, label, max(current.score, at_step))
        else:
            if current is not None:
                segments.append(current)
            current = None
    if current is not None:
        segments.append(current)
    return [segment for segment in segments if segment.score >= rule.high[label]]


def _join_near(segments: list[Segment], gap_s: float) -> list[Segment]:
    joined: list[Segment] = []
    for segment in segments:
        if joined and segment.start_s - joined[-1].end_s <= gap_s + 1e-6:
            before = joined.pop()
            segment = Segment(before.start_s, segment.end_s, segment.label, max(before.score, segment.score))
        joined.append(segment)
    return joined
