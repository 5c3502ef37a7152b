"""What the tests of fine-tuning learn from and with: small, and made from seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.checkpoints.own import Checkpoint
from axlstm.finetuning.config import FinetuneConfig, StoppingConfig
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.training.config import CheckpointConfig, HardwareConfig, LogConfig, OptimiserConfig, ScheduleConfig

SMALL = ModelConfig(depth=2, width=16, heads=2, patch_frames=4, window_frames=40)
LABELS = ("high", "low", "noise")
RATE_HZ = 16_000


def save_small_model(folder: Path, **changes: Any) -> Path:
    return Checkpoint(MaskedPatchModel.initialised(replace(SMALL, **changes), 1), name="small").save(folder)


def sound(label: str, seconds: float, seed: int) -> NDArray[np.float32]:
    """A clip that is easy to tell: a high tone, a low one, or noise, beside a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    noise = rng.normal(0, 0.02, len(time))
    if label == "noise":
        return (10 * noise).astype(np.float32)
    hz = {"high": 3000.0, "low": 300.0}[label] * rng.uniform(0.8, 1.25)
    return (0.3 * np.sin(2 * np.pi * hz * time) + noise).astype(np.float32)


def make_clips(folder: Path, groups: int = 8) -> list[tuple[str, str, str]]:
    """Write a clip of each label for each group, of 0.3 to 1.1 s, and list path, label and group."""
    rows = []
    for number in range(groups):
        for place, label in enumerate(LABELS):
            path = folder / label / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound(label, 0.3 + 0.1 * (number + place) % 0.9, 10 * number + place), RATE_HZ)
            rows.append((f"{label}/{number}.wav", label, f"place{number}"))
    return rows


def small_config(epochs: float = 3, **changes: Any) -> FinetuneConfig:
    """A run of a fraction of a second a step, on the CPU in one thread."""
    config = FinetuneConfig(
        optimiser=OptimiserConfig(learning_rate=3e-3, global_batch=4, micro_batch=4, clip_norm=1.0),
        schedule=ScheduleConfig(epochs=epochs, warmup_epochs=0.5),
        hardware=HardwareConfig(device="cpu", precision="float32", threads=1),
        stopping=StoppingConfig(patience=100),
        checkpoints=CheckpointConfig(every_steps=3, keep_last=2),
        log=LogConfig(every_steps=1),
    )
    return replace(config, **changes)
