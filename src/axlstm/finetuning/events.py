"""Find events in the scores of frames, and judge them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import sigmoid
from axlstm.collection.classifiers.intervals import as_interval, by_groups
from axlstm.evaluate.reporting.interval import Interval
from axlstm.evaluate.scoring.clips import find_score
from axlstm.evaluate.scoring.events import Event, Postprocessing, event_score, find_events, postprocessing_grid
from axlstm.finetuning.clips import Clip
from axlstm.finetuning.scores import group_numbers

Frames = Sequence[NDArray[np.float32]]
"""Scores of the frames of each clip, ``(T, K)``."""

GRID = postprocessing_grid(
    {
        "event_postprocessing_grid": {
            "median_filter_ms": [0, 120, 250],
            "min_duration": [0, 125, 250],
            "threshold": [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
        }
    }
)
"""The settings that validation chooses from."""


def events_of(
    clips: Sequence[Clip], frames: Frames, times: Frames, labels: Sequence[str], settings: Postprocessing
) -> tuple[dict[str, list[Event]], dict[str, list[Event]]]:
    """Return the events that are known, and those that are found, by the number of the clip."""
    known, found = {}, {}
    for number, (clip, scores, times_ms) in enumerate(zip(clips, frames, times, strict=True)):
        known[str(number)] = [Event(labels[one.label], one.start_ms, one.end_ms) for one in clip.events]
        probabilities = sigmoid(scores.astype(np.float64))
        found[str(number)] = find_events(probabilities, times_ms.astype(np.float64), labels, settings)
    return known, found


def judge_events(
    name: str,
    clips: Sequence[Clip],
    frames: Frames,
    times: Frames,
    labels: Sequence[str],
    settings: Postprocessing | None = None,
) -> Interval:
    """Compute a score of events, with its 95 % interval over groups of clips where it is an F-measure.

    A score of which less is better is told with its sign turned.
    """
    known, found = events_of(clips, frames, times, labels, settings or Postprocessing())
    value = next(iter(event_score(name, known, found).values()))
    if not find_score(name).maximise:
        return as_interval(-value, np.nan, np.nan)
    counts = np.array([_counts(name, {key: known[key]}, {key: found[key]}) for key in known])  # (n, 3)

    def f_measure(weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        hits, both = counts[:, 0], counts[:, 1] + counts[:, 2]
        weights = np.ones((1, len(counts))) if weights is None else weights
        with np.errstate(invalid="ignore", divide="ignore"):
            return (2 * (weights @ hits) / (weights @ both))[:, None]

    _, low, high = by_groups(f_measure, group_numbers([clip.group for clip in clips]))
    return as_interval(0.0 if np.isnan(value) else value, float(low[0]), float(high[0]))


def _counts(name: str, known: dict[str, list[Event]], found: dict[str, list[Event]]) -> tuple[float, float, float]:
    (truth,), (guess,) = known.values(), found.values()
    recall = event_score(name, known, found)["recall"] if truth else 0.0
    return round(recall * len(truth)), len(truth), len(guess)


def choose_settings(
    name: str, clips: Sequence[Clip], frames: Frames, times: Frames, labels: Sequence[str]
) -> Postprocessing:
    """Choose the post-processing with the highest score on validation clips; of equal ones the first."""

    def value(settings: Postprocessing) -> float:
        known, found = events_of(clips, frames, times, labels, settings)
        reached = next(iter(event_score(name, known, found).values()))
        if np.isnan(reached):
            return -np.inf
        return reached if find_score(name).maximise else -reached

    return max(GRID, key=value)
