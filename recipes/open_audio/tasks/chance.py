"""Score a guess without listening, by how frequent the classes are in training."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from axlstm.evaluate.scoring.clips import scene_score
from axlstm.evaluate.scoring.events import Event, event_score
from axlstm.evaluate.tasks.metadata import DataSplit
from axlstm.evaluate.tasks.read import Task

_DRAWS = 20
_ACCURACIES = ("top1_acc", "pitch_acc")


def chance_level(task: Task) -> float:
    """Compute a task's first score for a guess from the training labels alone, averaged over the test splits.

    For accuracies the guess is the class most frequent in training (one of them, if several are). For mAP every clip
    gets the classes' shares in training, which gives the share of positives. For events, each clip gets as many events
    as training clips have, of classes drawn by their shares, at times drawn evenly: the mean of 20 draws.
    """
    of_split = _chance_of_events if task.metadata.is_event else _chance_of_labels
    return float(np.mean([of_split(task, split) for split in task.metadata.data_splits()]))


def _chance_of_labels(task: Task, split: DataSplit) -> float:
    shares = _one_hot(task, split.train).mean(axis=0)  # (K,)
    target = _one_hot(task, split.test)  # (n, K)
    if task.metadata.is_multiclass and task.metadata.primary_score in _ACCURACIES:
        return float(target.mean(axis=0)[shares == shares.max()].mean())
    return scene_score(task.metadata.primary_score, target, np.broadcast_to(shares, target.shape))


def _one_hot(task: Task, splits: tuple[str, ...]) -> NDArray[np.float64]:
    """Read the labels of all clips of some splits, ``(n, K)``."""
    number = {label: index for index, label in enumerate(task.labels)}
    clips = [labels for split in splits for labels in task.splits[split].values()]
    out = np.zeros((len(clips), len(number)))
    for row, labels in zip(out, clips, strict=True):
        row[[number[str(label)] for label in labels]] = 1.0
    return out


def _chance_of_events(task: Task, split: DataSplit) -> float:
    training = [_events(found) for name in split.train for found in task.splits[name].values()]
    counts = np.array([len(events) for events in training])
    labels = Counter(event.label for events in training for event in events)
    lengths_ms = [event.end_ms - event.start_ms for events in training for event in events]
    names = sorted(labels)
    shares = np.array([labels[name] for name in names]) / labels.total()
    reference = {file: _events(found) for name in split.test for file, found in task.splits[name].items()}
    duration_ms = 1000 * (task.metadata.sample_duration_s or 0.0)
    rng = np.random.default_rng(0)

    def guess() -> list[Event]:
        begins = [float(ms) for ms in rng.uniform(0, duration_ms, rng.choice(counts))]
        return [Event(names[rng.choice(len(names), p=shares)], ms, ms + rng.choice(lengths_ms)) for ms in begins]

    draws = []
    for _ in range(_DRAWS):
        score = event_score(task.metadata.primary_score, reference, {file: guess() for file in reference})
        draws.append(next(iter(score.values())))
    return float(np.nanmean(draws))


def _events(found: list[dict[str, float | str]]) -> list[Event]:
    return [Event.from_dict(one) for one in found]
