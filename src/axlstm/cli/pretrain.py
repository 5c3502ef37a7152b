"""``axlstm pretrain``: train a published size, or a variation of one, on shards."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from axlstm.model.config import preset_config
from axlstm.options import ModelChanges
from axlstm.pretrain.config import (
    CheckpointConfig,
    HardwareConfig,
    LogConfig,
    ObjectiveConfig,
    OptimiserConfig,
    PretrainConfig,
    ReadingConfig,
    ScheduleConfig,
    ValidationConfig,
)

_PUBLISHED = PretrainConfig()
_UNCHANGED: ModelChanges = {}


def pretrain(
    preset: Positional[str],
    data: Path,
    workdir: Path,
    model: ModelChanges = _UNCHANGED,
    objective: ObjectiveConfig = _PUBLISHED.objective,
    optimiser: OptimiserConfig = _PUBLISHED.optimiser,
    schedule: ScheduleConfig = _PUBLISHED.schedule,
    reading: ReadingConfig = _PUBLISHED.reading,
    hardware: HardwareConfig = _PUBLISHED.hardware,
    validation: ValidationConfig = _PUBLISHED.validation,
    checkpoints: CheckpointConfig = _PUBLISHED.checkpoints,
    log: LogConfig = _PUBLISHED.log,
    seed: int = _PUBLISHED.seed,
    most_nonfinite_steps: int = _PUBLISHED.most_nonfinite_steps,
) -> int:
    """Pretrain an encoder by masked-patch prediction, with the published recipe unless told otherwise.

    The same command resumes an interrupted run exactly. WORKDIR loads as a model at any time: the newest
    checkpoint, and WORKDIR/best that of the lowest validation loss. Under torchrun all its processes share
    the global batch.

    Args:
        preset: a published size, like axlstm-tiny.
        data: folder of shards, written by axlstm prepare.
        workdir: folder of this run.
    """
    from axlstm.pretrain.loop import pretrain as train

    config = PretrainConfig(
        model=preset_config(preset, **model),
        objective=objective,
        optimiser=optimiser,
        schedule=schedule,
        reading=reading,
        hardware=hardware,
        validation=validation,
        checkpoints=checkpoints,
        log=log,
        seed=seed,
        most_nonfinite_steps=most_nonfinite_steps,
    )
    summary = train(config, data, workdir, _LiveLine())
    if summary["rank"] > 0:
        return 0
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if not summary["finished"]:
        print(f"stopped at step {summary['steps']}; the same command goes on from there")
        return 0
    print(f"trained {summary['steps']} steps, {summary['crops']} crops, {summary['train_hours']:.2f} h")
    if summary["validation_loss"] is not None:
        print(
            f"validation loss {summary['validation_loss']:.4f} (lowest {summary['best_validation_loss']:.4f}); "
            f"predicting the mean gives {summary['baseline']['mean']:.4f}"
        )
    print(f"model: {workdir}    summary: {workdir / 'summary.json'}    curve: {workdir / 'loss.png'}")
    return 0


class _LiveLine:
    """One line that is rewritten on a terminal, and one line a report elsewhere."""

    def __init__(self) -> None:
        self._validation = ""

    def __call__(self, step: int, values: Mapping[str, Any]) -> None:
        if "validation_loss" in values:
            self._validation = f"  validation {values['validation_loss']:.4f}"
            return
        left = time.strftime("%H:%M:%S", time.gmtime(values["eta_seconds"] % 86400))
        days = int(values["eta_seconds"] // 86400)
        line = (
            f"step {step}  loss {values['loss']:.4f}{self._validation}  lr {values['learning_rate']:.2e}  "
            f"grad {values['gradient_norm']:.3f}  {values['crops_per_second']:.1f} crops/s  "
            f"data wait {100 * values['data_wait_share']:.1f}%  left {f'{days}d ' if days else ''}{left}"
        )
        if "mfu" in values:
            line += f"  mfu {100 * values['mfu']:.1f}%"
        if sys.stderr.isatty():
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)
