"""Release a run's weights in float16: the study evaluates and ships the same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from axlstm.checkpoints.own import load_checkpoint
from axlstm.checkpoints.reading import CONFIG_NAME

RELEASE = "release"


def release(run: Path, name: str) -> Path:
    """Write RUN/release once: ``config.json`` and ``model.safetensors`` in float16, of the model's last weights.

    Args:
        run: folder of a training run that has finished.
        name: that the model gets in its configuration.
    """
    folder = run / RELEASE
    if not (folder / CONFIG_NAME).is_file():  # written last
        checkpoint = load_checkpoint(run)
        training = {key: value for key, value in checkpoint.training.items() if key != "data"}  # where it lay here
        replace(checkpoint, name=name, trained=True, training=training).save(folder, torch.float16)
    return folder
