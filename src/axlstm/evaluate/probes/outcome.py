"""Put the scores of the probes of one task and seed into the form of the kit's result file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from axlstm.errors import name_some
from axlstm.evaluate.embedding.packed import EmbeddedTask
from axlstm.evaluate.probes.data import Part
from axlstm.evaluate.probes.selection import Check, activate, probe_loss
from axlstm.evaluate.scoring.clips import degenerate_classes, scene_score
from axlstm.evaluate.scoring.events import Postprocessing, event_score, find_events_in_files


@dataclass(frozen=True)
class SplitOutcome:
    """The scores of one data split's chosen probe, under the kit's keys."""

    name: str
    values: dict[str, float]
    confusion: list[list[int]] | None  # multiclass: clips by true class (rows) and predicted class


@dataclass(frozen=True)
class Outcome:
    """One task and seed: every data split, the chosen configuration and the course of all trainings."""

    seed: int
    splits: tuple[SplitOutcome, ...]
    hparams: dict[str, Any]
    postprocessing: Postprocessing | None
    maximise: bool
    epochs_run: tuple[int, ...]  # of every training, in order: the grid, then the further folds

    def to_kit(self, embedding_path: str) -> dict[str, Any]:
        """Return the content of ``test.predicted-scores.json``."""
        content: dict[str, Any] = {split.name: split.values for split in self.splits}
        if len(self.splits) > 1:
            content["aggregated_scores"] = _aggregate([split.values for split in self.splits])
        return {
            **content,
            "hparams": self.hparams,
            "postprocessing": self.postprocessing.to_pairs() if self.postprocessing else [],
            "score_mode": "max" if self.maximise else "min",
            "embedding_path": embedding_path,
        }


def degenerate_tests(task: EmbeddedTask) -> list[str]:
    """Say which test splits of clips have degenerate scores and why, a line for each reason."""
    splits: dict[str, list[str]] = {}
    for split in task.metadata.data_splits() if not task.metadata.is_event else ():
        for reason in degenerate_classes(task.rows(split.test).target, task.labels, task.metadata.scores):
            splits.setdefault(reason, []).append(split.name)
    return [f"{task.metadata.name}, test split {name_some(names)}: {reason}" for reason, names in splits.items()]


def judge_test(task: EmbeddedTask, name: str, part: Part, logits: Tensor, check: Check, minutes: float) -> SplitOutcome:
    """Compute all scores of a task on a test part, from the chosen probe's logits ``(n, K)``.

    Numbers are rounded to float32 as the kit's are, d' excepted.
    """
    metadata = task.metadata
    prediction = activate(logits, metadata.is_multiclass).numpy()  # (n, K)
    target = part.rows.target  # (n, K)
    if check.postprocessing is None:
        scores = {f"test_{score}": scene_score(score, target, prediction) for score in metadata.scores}
    else:
        scores = {}
        found = find_events_in_files(prediction, part.rows.frames, task.labels, check.postprocessing)
        for score in metadata.scores:
            parts = event_score(score, part.rows.events, found)
            scores[f"test_{score}"] = next(iter(parts.values()))
            scores |= {f"test_{score}_{sub}": value for sub, value in parts.items()}
    values = {
        "test_loss": float(probe_loss(logits, torch.from_numpy(target.astype(np.float32)), metadata.is_multiclass)),
        "test_score": scores[f"test_{metadata.primary_score}"],
        **scores,
        "validation_score": check.value,
    }
    rounded = {key: value if key == "test_d_prime" else float(np.float32(value)) for key, value in values.items()}
    confusion, classes = None, len(task.labels)
    if metadata.is_multiclass:
        pairs = target.argmax(axis=1) * classes + prediction.argmax(axis=1)
        confusion = np.bincount(pairs, minlength=classes**2).reshape(classes, classes).tolist()
    return SplitOutcome(name, {**rounded, "epoch": check.epoch, "time_in_min": minutes}, confusion)


def _aggregate(folds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Compute mean and standard deviation (n - 1) of every key over the folds."""
    result = {}
    for key in folds[0]:
        column = np.array([fold[key] for fold in folds])
        with np.errstate(invalid="ignore"):  # scores may be infinite (d') or NaN: so are their statistics
            result[f"{key}_mean"] = float(np.mean(column))
            result[f"{key}_std"] = float(np.std(column, ddof=1))
    return result
