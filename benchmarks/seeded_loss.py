"""Print the losses of seeded pretraining runs, to the last bit: they stay where the code changes but not the numbers.

python -m benchmarks seeded-loss
"""

from __future__ import annotations

import hashlib
import shutil
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from axlstm.data.config import PrepareConfig
from axlstm.data.prepare import prepare
from axlstm.model.config import preset_config
from axlstm.pretrain.config import PretrainConfig, PretrainLogConfig, ReadingConfig
from axlstm.pretrain.loop import pretrain
from axlstm.samples import sample_paths
from axlstm.training.config import HardwareConfig, OptimiserConfig, ScheduleConfig

_SHOWN = 3


def seeded_loss(models: tuple[str, ...] = ("axlstm-tiny", "ssast-tiny"), steps: int = 50, batch: int = 4) -> int:
    """Pretrain on the bundled recordings in float32 and one thread; print a digest of the losses, and the last ones.

    The digest is the SHA-256 of every step's loss and gradient norm as `float.hex`, one a line. It belongs to the
    processor and the version of torch: compare two states of the code on one machine.

    Args:
        models: names of published sizes.
        steps: optimiser steps of each.
        batch: crops a step.
    """
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder, chdir(folder):
        shards, sounds = Path("shards"), Path("sounds")  # relative: the order of records depends on their paths
        sounds.mkdir()
        for path in sample_paths():
            shutil.copy(path, sounds)
        prepare([sounds], shards, PrepareConfig(held_out=0.1, record_seconds=2.5), processes=1)
        for name in models:
            values: list[str] = []

            def note(_: int, metrics: object, values: list[str] = values) -> None:
                assert isinstance(metrics, dict)
                if "loss" in metrics:
                    values.extend(float(metrics[key]).hex() for key in ("loss", "gradient_norm"))

            config = PretrainConfig(
                model=preset_config(name),
                optimiser=OptimiserConfig(learning_rate=1e-3, global_batch=batch, micro_batch=batch, clip_norm=1.0),
                schedule=ScheduleConfig(steps=steps, warmup_steps=steps // 10),
                reading=ReadingConfig(workers=0),
                hardware=HardwareConfig(device="cpu", precision="float32", threads=1),
                log=PretrainLogConfig(every_steps=1),
            )
            pretrain(config, shards, Path(name), note)
            digest = hashlib.sha256("\n".join(values).encode()).hexdigest()
            losses = [float.fromhex(value) for value in values[::2]]
            print(f"{name:12} {len(losses)} steps  {digest}", flush=True)
            print(f"{'':12} last losses {'  '.join(f'{loss!r} ({loss.hex()})' for loss in losses[-_SHOWN:])}")
    return 0
