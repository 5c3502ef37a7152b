"""Judge probes on the validation split: the monitored value, the best epoch and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import axlstm.vector_math
from axlstm.errors import ConfigError
from axlstm.evaluate.embedding.packed import EmbeddedTask, Rows
from axlstm.evaluate.scoring.clips import find_score, scene_score
from axlstm.evaluate.scoring.events import Postprocessing, event_score, find_events_in_files, postprocessing_grid
from axlstm.evaluate.scoring.members import member_scores


@dataclass(frozen=True)
class Check:
    """The outcome of one validation."""

    epoch: int  # counted from 0
    value: float  # the monitored score or loss, rounded to float32
    postprocessing: Postprocessing | None = None  # event tasks: the best of the grid


class Judge:
    """Computes the monitored value of probes from their logits on the validation split.

    The value is the task's first score, or the loss where the task asks for it (`use_scoring_for_early_stopping`
    false). Event tasks choose their post-processing at every check: the highest score, then the largest parameters.
    """

    def __init__(self, task: EmbeddedTask, valid: Rows) -> None:
        metadata = task.metadata
        self.is_multiclass = metadata.is_multiclass
        self.by_score = metadata.use_scoring_for_early_stopping
        self.score = metadata.primary_score
        self.maximise = self.by_score and find_score(self.score).maximise
        self.labels = task.labels
        self.target = valid.target  # (n, K)
        self.frames = valid.frames
        self.events = valid.events
        self.grid = postprocessing_grid(metadata.evaluation_params) if metadata.is_event else []
        points = len(self.grid)
        if points > 1 and not self.by_score:
            raise ConfigError(f"{task.path}: selection by loss needs a post-processing grid of one point, not {points}")

    def check(self, epoch: int, logits: Tensor) -> Check:
        """Check one probe by its logits ``(n, K)``, as the test scores are computed."""
        if self.by_score and not self.grid:
            prediction = activate(logits, self.is_multiclass).numpy()  # (n, K)
            return Check(epoch, _round(scene_score(self.score, self.target, prediction)))
        return self.check_members(epoch, logits[None])[0]

    def check_members(self, epoch: int, logits: Tensor) -> list[Check]:
        """Check many probes at once by their logits ``(M, n, K)``."""
        if not self.by_score:
            target = torch.from_numpy(self.target.astype(np.float32))  # (n, K)
            losses = [float(probe_loss(member, target, self.is_multiclass)) for member in logits]
            chosen = self.grid[0] if self.grid else None
            return [Check(epoch, _round(loss), chosen) for loss in losses]
        prediction = activate(logits, self.is_multiclass).numpy()  # (M, n, K)
        if self.grid:
            return [self._check_events(epoch, member) for member in prediction]
        return [Check(epoch, _round(value)) for value in member_scores(self.score, self.target, prediction)]

    def _check_events(self, epoch: int, prediction: np.ndarray) -> Check:
        values = {}
        for point in self.grid:
            found = find_events_in_files(prediction, self.frames, self.labels, point)
            values[point] = next(iter(event_score(self.score, self.events, found).values()))
        best = max(self.grid, key=lambda point: (0.0 if math.isnan(values[point]) else values[point], point))
        return Check(epoch, _round(values[best]), best)


@dataclass
class Progress:
    """The course of one training: its best check so far, and whether to go on.

    As PyTorch Lightning does with a strict improvement of at least 0: ties keep the earlier check, and a
    value that is not finite ends the training.
    """

    maximise: bool
    patience: int
    best: Check | None = None
    curve: list[Check] = field(default_factory=list)
    waited: int = 0
    is_over: bool = False

    def add(self, check: Check) -> bool:
        """Add a check; returns whether it is the best so far."""
        self.curve.append(check)
        worst = -math.inf if self.maximise else math.inf
        value = worst if math.isnan(check.value) else check.value
        is_better = self.best is None or (value > self.best.value if self.maximise else value < self.best.value)
        if is_better:
            self.best = Check(check.epoch, value, check.postprocessing)
        self.waited = 0 if is_better and value != worst else self.waited + 1
        self.is_over = self.waited >= self.patience or not math.isfinite(check.value)
        return is_better


def activate(logits: Tensor, is_multiclass: bool) -> Tensor:
    """Turn logits ``(..., K)`` into probabilities: a softmax over classes, or a sigmoid each."""
    return torch.softmax(logits, dim=-1) if is_multiclass else torch.sigmoid(logits)


def probe_loss(logits: Tensor, target: Tensor, is_multiclass: bool) -> Tensor:
    """Compute the cross entropy over clips, or the binary one over all entries, of ``(n, K)`` each: a scalar."""
    if is_multiclass:
        return F.cross_entropy(logits, target.argmax(dim=1))
    return F.binary_cross_entropy_with_logits(logits, target)


def _round(value: float) -> float:
    return float(np.float32(value))
