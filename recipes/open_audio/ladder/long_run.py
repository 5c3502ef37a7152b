"""Train one pilot's recipe for long, in the background of other work, with a packed checkpoint beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from axlstm.errors import AxlstmError
from axlstm.options import TrainingPrecision
from axlstm.pretrain.config import PretrainConfig, PretrainLogConfig, ValidationConfig
from axlstm.pretrain.loop import pretrain
from axlstm.training.config import CheckpointConfig
from recipes.open_audio.ladder.packing import pack_run
from recipes.open_audio.ladder.pilots import Pilot, PilotBudget

PACKED = "packed.safetensors"
_DECAY, _FINAL_DECAY = 0.998, 0.9998  # of an EMA teacher, over fifty times the steps of a pilot


@dataclass(frozen=True, kw_only=True)
class LongBudget:
    """The length of the run. At six crops a second, 864,000 crops are 40 hours of one core.

    Args:
        weights: a model that the run begins with; fresh weights without it.
    """

    crops: int = 864_000  # windows under a mask
    batch: int = 64  # windows under a mask in a step
    learning_rate: float = 1e-3
    warmup: float = 0.02  # share of the steps
    precision: TrainingPrecision = "float32"  # bfloat16 where the processor has units for it
    pack_minutes: float = 60.0  # between packed checkpoints
    weights: str = ""


def long_config(pilot: Pilot, budget: LongBudget, teachers: Path) -> PretrainConfig:
    """Return the configuration of a pilot's recipe, with the schedule of a long run."""
    steps = budget.crops // budget.batch
    short = PilotBudget(
        batch=budget.batch, learning_rate=budget.learning_rate, warmup=budget.warmup, weights=budget.weights
    )
    config = pilot.config(short, steps, teachers)
    objective = config.objective
    if objective.latent.active:
        latent = replace(objective.latent, decay=_DECAY, final_decay=_FINAL_DECAY)
        objective = replace(objective, latent=latent)
    return replace(
        config,
        objective=objective,
        hardware=replace(config.hardware, precision=budget.precision),
        optimiser=replace(config.optimiser, micro_batch=min(16, config.optimiser.global_batch)),  # fits the cache
        validation=ValidationConfig(every_steps=250, crops=256),
        checkpoints=CheckpointConfig(every_steps=25),
        log=PretrainLogConfig(every_steps=5, pictures_every_steps=1000),
    )


def run_long(
    pilot: Pilot, budget: LongBudget, shards: Path, teachers: Path, out: Path, report: Callable[[str], None]
) -> dict[str, Any]:
    """Train in ``OUT/run`` until the schedule ends or a signal comes; the same call goes on exactly.

    ``OUT/packed.safetensors`` is replaced by the newest checkpoint from time to time.
    """
    workdir, packed = out / "run", out / PACKED
    last = time.monotonic()

    def pack_sometimes(step: int, values: Mapping[str, Any]) -> None:
        nonlocal last
        if "loss" in values:
            report(f"step {step}: loss {values['loss']:.4f}, {values.get('crops_per_second', 0):.1f} crops/s")
        if time.monotonic() - last > 60 * budget.pack_minutes:
            last = time.monotonic()
            _pack(workdir, packed, report)

    summary = pretrain(long_config(pilot, budget, teachers), shards, workdir, pack_sometimes)
    _pack(workdir, packed, report)
    return summary


def _pack(workdir: Path, packed: Path, report: Callable[[str], None]) -> None:
    """Pack, or say why not: the run itself goes on."""
    try:
        step = pack_run(workdir, packed)
    except (AxlstmError, OSError) as error:
        report(f"not packed: {error}")
    else:
        report(f"packed step {step}: {packed}, {packed.stat().st_size / 1e6:.1f} MB")
