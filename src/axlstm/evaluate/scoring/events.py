"""Turn frame probabilities into sound events, and score events.

The scores are those of sed_eval 0.2.1 (Mesaros et al., Metrics for polyphonic sound event detection,
2016) with the settings of hear-eval-kit. Times are in milliseconds, as in the tasks' files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from axlstm.errors import ConfigError
from axlstm.evaluate.scoring.clips import Array, find_score

THRESHOLD = 0.5
SEGMENT_S = 1.0
_EPSILON = np.finfo(float).eps


@dataclass(frozen=True)
class Event:
    """One labelled stretch of sound."""

    label: str
    start_ms: float
    end_ms: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Event:
        """Read the tasks' form ``{"label", "start", "end"}``."""
        return cls(str(values["label"]), float(values["start"]), float(values["end"]))


Events = Mapping[str, Sequence[Event]]  # file name to its events


@dataclass(frozen=True, order=True)
class Postprocessing:
    """Settings that turn frame probabilities into events: one point of the post-processing grid."""

    median_filter_ms: float = 250
    min_duration: float = 125
    threshold: float = THRESHOLD

    def to_pairs(self) -> list[tuple[str, float]]:
        """Return the kit's written form; a threshold is part of it only where it is not the usual one."""
        pairs = [("median_filter_ms", self.median_filter_ms), ("min_duration", self.min_duration)]
        return pairs if self.threshold == THRESHOLD else [*pairs, ("threshold", self.threshold)]


def postprocessing_grid(evaluation_params: Mapping[str, Any]) -> list[Postprocessing]:
    """Return the task's `event_postprocessing_grid`, or {250} x {125, 250} ms; `ConfigError` for unknown keys."""
    given = evaluation_params.get("event_postprocessing_grid")
    known = {"median_filter_ms": [0.0], "min_duration": [0.0], "threshold": [THRESHOLD]}
    grid = {**known, **(given or {"median_filter_ms": [250], "min_duration": [125, 250]})}
    if len(grid) > len(known):
        unknown = ", ".join(sorted(set(grid) - set(known)))
        raise ConfigError(f"event_postprocessing_grid has {unknown}; it may have {', '.join(known)}")
    return [Postprocessing(*values) for values in product(*grid.values())]


def find_events(
    probability: Array, timestamps_ms: NDArray[np.float64], labels: Sequence[str], settings: Postprocessing
) -> list[Event]:
    """Find the events in one file's frames: probabilities ``(T, K)``, in any order of time, and ``(T,)`` times.

    They are sorted by start, then by class. An event ends on its last frame, so one frame alone lasts 0 ms.
    """
    order = np.argsort(timestamps_ms, kind="stable")
    times = np.asarray(timestamps_ms, dtype=np.float64)[order]  # (T,)
    values = probability[order]  # (T, K)
    # A single frame has no hop, so no window either.
    hop_ms = float(np.mean(np.diff(times))) if len(times) > 1 else 0.0
    window = round(settings.median_filter_ms / hop_ms) if hop_ms else 0
    if settings.median_filter_ms and window:
        values = median_filter(values, size=(window, 1))
    on = np.zeros((len(times) + 2, len(labels)), dtype=np.int8)  # (T + 2, K)
    on[1:-1] = values > settings.threshold
    edges = np.diff(on, axis=0)  # (T + 1, K): 1 where a run starts, -1 just behind its end
    events = []
    for k, label in enumerate(labels):
        starts = times[np.flatnonzero(edges[:, k] == 1)]
        ends = times[np.flatnonzero(edges[:, k] == -1) - 1]
        pairs = zip(starts, ends, strict=True)
        events += [Event(label, float(a), float(b)) for a, b in pairs if b - a >= settings.min_duration]
    return sorted(events, key=lambda event: event.start_ms)


def find_events_in_files(
    probability: Array, frames: Sequence[tuple[str, float]], labels: Sequence[str], settings: Postprocessing
) -> dict[str, list[Event]]:
    """Call `find_events` for every file of a packed split: ``(n, K)`` probabilities and n ``(file, ms)`` pairs."""
    rows: dict[str, list[int]] = {}
    for row, (file, _) in enumerate(frames):
        rows.setdefault(file, []).append(row)
    times = np.array([ms for _, ms in frames], dtype=np.float64)  # (n,)
    return {file: find_events(probability[where], times[where], labels, settings) for file, where in rows.items()}


def event_score(name: str, reference: Events, predicted: Events) -> dict[str, float]:
    """Compute one score of events; the first entry is the one that selects.

    Only files in `predicted` count. Precision without predictions, recall without reference events and
    an F measure of either are NaN; the error rate of an empty reference is huge, as in sed_eval.

    Raises:
        ConfigError: ``name`` is a score of clips.
    """
    if not find_score(name).is_event:
        raise ConfigError(f"{name} judges clips: use axlstm.evaluate.scoring.clips.scene_score")
    pairs = [(list(reference.get(file, [])), list(events)) for file, events in predicted.items()]
    if name == "segment_1s_er":
        return {"error_rate": _segment_error_rate(pairs)}
    collar_s = 0.2 if name == "event_onset_200ms_fms" else 0.05
    return _event_f_measure(pairs, collar_s, with_offset=name == "event_onset_offset_50ms_20perc_fms")


def _event_f_measure(
    pairs: list[tuple[list[Event], list[Event]]], collar_s: float, with_offset: bool
) -> dict[str, float]:
    hits = sum(_count_hits(reference, predicted, collar_s, with_offset) for reference, predicted in pairs)
    n_reference = sum(len(reference) for reference, _ in pairs)
    n_predicted = sum(len(predicted) for _, predicted in pairs)
    precision = hits / n_predicted if n_predicted else float("nan")
    recall = hits / n_reference if n_reference else float("nan")
    f_measure = 0.0 if precision == recall == 0.0 else 2.0 * precision * recall / (precision + recall)
    return {"f_measure": f_measure, "precision": precision, "recall": recall}


def _count_hits(reference: list[Event], predicted: list[Event], collar_s: float, with_offset: bool) -> int:
    """Count the pairs of the largest one-to-one matching of reference and predicted events."""
    if not reference or not predicted:
        return 0
    r_label, p_label = (np.array([event.label for event in side]) for side in (reference, predicted))  # (R,), (P,)
    r_start, p_start = (np.array([event.start_ms for event in side]) / 1000.0 for side in (reference, predicted))
    r_end, p_end = (np.array([event.end_ms for event in side]) / 1000.0 for side in (reference, predicted))
    match = r_label[:, None] == p_label[None, :]  # (R, P)
    match &= np.abs(r_start[:, None] - p_start[None, :]) <= collar_s
    if with_offset:
        tolerance_s = np.maximum(collar_s, 0.2 * (r_end - r_start))  # (R,)
        match &= np.abs(r_end[:, None] - p_end[None, :]) <= tolerance_s[:, None]
    return int((maximum_bipartite_matching(csr_matrix(match), perm_type="column") >= 0).sum())


def _segment_error_rate(pairs: list[tuple[list[Event], list[Event]]]) -> float:
    substitutions = deletions = insertions = n_reference = 0
    for reference, predicted in pairs:
        events = [*reference, *predicted]
        if not events:
            continue
        length = max(int(np.ceil(event.end_ms / 1000.0 / SEGMENT_S)) for event in events)
        labels = {label: k for k, label in enumerate(sorted({event.label for event in events}))}
        truth, guess = (_segment_roll(side, labels, length) for side in (reference, predicted))  # (S, K) each
        both = (truth & guess).sum(axis=1)  # (S,)
        n_truth, n_guess = truth.sum(axis=1), guess.sum(axis=1)  # (S,) each
        substitutions += int((np.minimum(n_truth, n_guess) - both).sum())
        deletions += int(np.maximum(0, n_truth - n_guess).sum())
        insertions += int(np.maximum(0, n_guess - n_truth).sum())
        n_reference += int(n_truth.sum())
    return sum(count / (n_reference + _EPSILON) for count in (substitutions, deletions, insertions))


def _segment_roll(events: list[Event], labels: dict[str, int], length: int) -> NDArray[np.bool_]:
    roll = np.zeros((length, len(labels)), dtype=bool)  # (S, K)
    for event in events:
        first = int(np.floor(event.start_ms / 1000.0 / SEGMENT_S))
        roll[first : int(np.ceil(event.end_ms / 1000.0 / SEGMENT_S)), labels[event.label]] = True
    return roll
