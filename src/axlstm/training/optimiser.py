"""Make AdamW with the published rule of what decays, and compute the learning rate of every step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn
from torch.optim import AdamW

import axlstm.vector_math
from axlstm.training.config import OptimiserConfig, ScheduleConfig

# One-dimensional here, but (1, 1, D) in the release, whose rule "more than one dimension" lets them decay.
_DECAYING_VECTORS = ("encoder.cls_token", "encoder.mask_token")


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Tell whether weight decay applies: the parameter has more than one dimension in the published model."""
    return parameter.ndim > 1 or name in _DECAYING_VECTORS


def make_optimiser(model: nn.Module, config: OptimiserConfig, heads: nn.Module | None = None) -> AdamW:
    """Make AdamW (Loshchilov & Hutter 2019) over the trainable parameters, in two groups: with decay and without.

    Args:
        heads: further modules that are trained with the model and are not part of it.
    """
    modules = [model] if heads is None else [model, heads]
    named = [(name, p) for module in modules for name, p in module.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in named if decays(name, p)], "weight_decay": config.weight_decay},
        {"params": [p for name, p in named if not decays(name, p)], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=config.peak_learning_rate, betas=config.betas, eps=config.eps)


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up from zero, then half a cosine down to ``final`` (Loshchilov & Hutter 2017, one cycle)."""

    peak: float
    final: float
    warmup_steps: float
    total_steps: int

    @classmethod
    def of(cls, optimiser: OptimiserConfig, schedule: ScheduleConfig, steps_per_epoch: float) -> Schedule:
        """Make the schedule of a run whose epochs have ``steps_per_epoch`` optimiser steps."""
        total = schedule.steps if schedule.steps is not None else math.ceil(schedule.epochs * steps_per_epoch)
        if schedule.warmup_steps is not None:
            warmup: float = schedule.warmup_steps
        elif schedule.steps is not None:  # the share of the run that the epochs give
            warmup = total * schedule.warmup_epochs / schedule.epochs
        else:
            warmup = schedule.warmup_epochs * steps_per_epoch
        return cls(optimiser.peak_learning_rate, optimiser.final_learning_rate, warmup, total)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of update number ``step`` (from 0)."""
        if step < self.warmup_steps:
            return self.peak * step / self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / max(1e-12, self.total_steps - self.warmup_steps))
        return self.final + (self.peak - self.final) * 0.5 * (1.0 + math.cos(math.pi * progress))
