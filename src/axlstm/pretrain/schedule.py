"""The learning rate of every step, as a pure function of its number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from axlstm.pretrain.config import OptimiserConfig, ScheduleConfig


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up from zero, then half a cosine down to ``final`` (Loshchilov & Hutter 2017, one cycle)."""

    peak: float
    final: float
    warmup_steps: float
    total_steps: int

    @classmethod
    def of(cls, optimiser: OptimiserConfig, schedule: ScheduleConfig, steps_per_epoch: int) -> Schedule:
        """The schedule of a run whose epochs have ``steps_per_epoch`` optimiser steps."""
        total = schedule.steps if schedule.steps is not None else math.ceil(schedule.epochs * steps_per_epoch)
        if schedule.warmup_steps is not None:
            warmup: float = schedule.warmup_steps
        elif schedule.steps is not None:  # the share of the run that the epochs give
            warmup = total * schedule.warmup_epochs / schedule.epochs
        else:
            warmup = schedule.warmup_epochs * steps_per_epoch
        return cls(optimiser.peak_learning_rate, optimiser.final_learning_rate, warmup, total)

    def learning_rate(self, step: int) -> float:
        """The rate that the update number ``step`` (from 0) is made with."""
        if step < self.warmup_steps:
            return self.peak * step / self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / max(1e-12, self.total_steps - self.warmup_steps))
        return self.final + (self.peak - self.final) * 0.5 * (1.0 + math.cos(math.pi * progress))
